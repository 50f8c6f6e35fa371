"""Secrets of any form in every key that takes one: no word of them in what is said about it."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.registry import Registry
from raft_snapshot_agent.secret import Plain, Secret

CORE = "Hunter2hunter3"
"""Stands in every secret; nothing else has it."""
SIGN = st.sampled_from([*"!*&|>%@`'\"{[]}#-?:, \\", "!!", "&a &", "*a*", "!<", "\\x", "- ", "? "])
NASTY = st.builds(
    lambda before, after: f"{before}{CORE}{after}",
    st.lists(SIGN, max_size=3).map("".join),
    st.lists(SIGN | st.characters(categories=("L", "N")), max_size=4).map("".join),
)


def takers(model: type[BaseModel], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path in the configuration that leads to a secret, with the `type` or `method`."""
    for name, info in model.model_fields.items():
        for kind in _kinds(info.annotation):
            if issubclass(kind, Secret) and not issubclass(kind, Plain):
                yield (*path, name)
            elif issubclass(kind, BaseModel):
                yield from takers(kind, (*path, name, kind))


def _kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        annotation = annotation.__value__
    registered = [one for one in get_args(annotation) if isinstance(one, Registry)]
    if registered:
        yield from registered[0].values()
    elif isinstance(annotation, type) and get_origin(annotation) is None:
        yield annotation
    elif (
        get_origin(annotation) is typing.Annotated
        or isinstance(annotation, types.UnionType)
        or get_args(annotation)
    ):
        yield from (one for arg in get_args(annotation) for one in _kinds(arg))


TAKERS = list(takers(Config))


def document(path: tuple[Any, ...], secret: Any) -> Any:
    """The least that holds a secret there."""
    head, *rest = path
    if not rest:
        return {head: secret}
    kind, *rest = rest
    inner = document(tuple(rest), secret)
    for tag in ("type", "method"):
        if tag in kind.model_fields:
            inner = {tag: get_args(kind.model_fields[tag].annotation)[0], **inner}
    return {head: [inner] if head == "storages" else inner}


def said(file: Path, text: str) -> str:
    """All that can be read when this is loaded and checked."""
    file.write_text(text)
    try:
        loaded = load(file, {})
        lines = [repr(loaded), *loaded.notes, *loaded.warnings]
        check(loaded.config, {}, loaded.position)
    except ConfigError as error:
        return "\n".join(map(redact, error.lines))
    return "\n".join(lines)


def test_the_keys_are_found() -> None:
    names = {path[-1] for path in TAKERS}
    assert {"token", "secret_id", "password", "proxy", "account_key", "sse_customer_key"} <= names
    assert len(TAKERS) >= 20


@pytest.mark.parametrize("path", TAKERS, ids=lambda path: ".".join(str(one) for one in path[::2]))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=NASTY)
@example(secret=f"!{CORE}")
@example(secret=f"*{CORE}")
@example(secret=f"&{CORE}")
@example(secret=f"|{CORE}")
@example(secret=f"%{CORE}")
@example(secret=f"{CORE}\n{CORE}")
@example(secret=f",{CORE}:")  # in braces a key without a value
@example(secret=f"{CORE} #")  # the rest is a comment, and with it the @ of a proxy's URL
def test_no_word_of_it_is_said(tmp_path: Path, path: tuple[Any, ...], secret: str) -> None:
    marker = "MARKER"
    if path[-1] == "proxy":  # its password is secret, and not where it is
        secret = f"http://user:{secret}@proxy.internal:3128"
    unquoted = yaml.safe_dump(document(path, marker), default_flow_style=False)
    flow = yaml.safe_dump(document(path, marker), default_flow_style=True, width=1000)
    for text in (
        unquoted.replace(marker, secret),
        flow.replace(marker, secret),
        unquoted.replace(f" {marker}", secret),  # without the space it is all key
        flow.replace(f" {marker}", secret),
        json.dumps(document(path, secret)),
        json.dumps(document(path, marker)).replace(f'"{marker}"', secret),
        json.dumps(document(path, [secret])),
    ):
        assert CORE not in said(tmp_path / "c.yaml", text), text
