"""Whatever a file holds, it loads or is refused in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.leaks import WATCH
from tests.unit.config.schema_keys import document_with, keys_of

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.config.dialects import dialect
from raft_snapshot_agent.config.dialects.seed import SeedAws, SeedFile, translate
from raft_snapshot_agent.config.document import parse
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.show import schema
from raft_snapshot_agent.config.validation import validate
from raft_snapshot_agent.errors import ConfigError

SUFFIXES = st.sampled_from([".yaml", ".json", ".toml", ""])
OTHERS = [
    "address",
    "auth",
    "method",
    "tls",
    "type",
    "path",
    "every",
    "last",
    "within",
    "Addr",
    "storages",
    "<<",
]
KEYS = st.sampled_from(
    [*Config.model_fields, *SeedFile.model_fields, *SeedAws.model_fields, *OTHERS, ""]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["local", "s3", "approle", "k8s", "/x", "https://h:8200", "1h", "<a>", "u:p@h"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def load(suffix: str, text: str) -> None:
    document = parse("f", suffix, text)
    if dialect(document) == "seed":
        translate(document, {})
    else:
        validate(Config, document.value, document)


def refusal(suffix: str, text: str) -> str:
    try:
        load(suffix, text)
    except ConfigError as error:
        return str(error)
    return "f: none"


@given(SUFFIXES, st.text("abc:-=[]{}<&*!|>\"'\\#,.1 \t\r\n\0é\ud800", max_size=30))
def test_any_text(suffix: str, text: str) -> None:
    with suppress(UnicodeEncodeError):
        text.encode()
        assert re.fullmatch("f:.*", refusal(suffix, text))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_values(value: dict[str, Any]) -> None:
    for suffix in (".json", ".yaml"):
        assert re.fullmatch("f:.*", refusal(suffix, json.dumps(value)))


@pytest.fixture
def odd_values_are_no_secrets() -> Iterator[None]:
    """The same value stands where a secret would, and where it is shown."""
    before = set(WATCH.secrets)
    yield
    WATCH.secrets = before
    WATCH.texts.clear()


ODD: list[Any] = [
    *(10**400, -1, 0, 1.5, True, "x" * 5000, "\0", "/a\0b", "\ud800", "é\n", "/" + "a" * 300),
    *(
        "http://h:port",
        "http://h:99999",
        "http://h:-1",
        "http://[::1",
        "http://[zz]:80",
        "https://ü:1",
    ),
    *("100000h", "36500d", "0.0000001s", "9" * 400 + "s", "* * * * *", "0 0 31 2 *", "@reboot"),
    *("env://", "env://A=B", "file://", "file:///proc/self/mem", "credential://../x"),
    *("%", "{0}", "-", "/", "..", "101%", "1e30GB", "-1GB", "Europe/../../etc/passwd", "/dev/null"),
    *([[]], [[["x"]]], {"a": {"b": 1}}, {"a": "b", "c": None}),
]


@pytest.mark.usefixtures("odd_values_are_no_secrets")
@pytest.mark.parametrize(
    "stride",
    [pytest.param(1, id="all", marks=pytest.mark.soak), pytest.param(7, id="every seventh")],
)
@pytest.mark.parametrize("part", range(2))
def test_odd_values_of_every_key_are_refused_in_plain_words(
    tmp_path: Path, part: int, stride: int
) -> None:
    described, path = schema(), tmp_path / "c.json"
    environ = {"VAULT_TOKEN": "t", "TMPDIR": str(tmp_path)}
    for number, (where, around) in [*enumerate(keys_of(described))][part::2]:
        for odd in ODD[number % stride :: stride]:
            path.write_text(json.dumps(document_with(around, where, odd)))
            for line in faults(path, environ):
                assert line.startswith(f"{path}:"), line
                assert not re.search(r"nexpected|could not be cast|Error|\n", line), line


def faults(path: Path, environ: dict[str, str]) -> tuple[str, ...]:
    try:
        for loaded in load_all(path, environ).clusters.values():
            assert isinstance(loaded.warnings, tuple)
            check(loaded.config, environ, loaded.position)
    except ConfigError as error:
        return error.lines
    return ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault: {address: 'http://h:port'}", "1:9: vault.address: 'http://h:…' is not an address: its port must be a number up to 65535"),
        ("vault: {nodes: ['http://[::1']}", "1:9: vault.nodes: 'http://[::1' is not an address: its port"),
        ("storages: [{type: s3, bucket: b, endpoint: 'https://h:port'}]", "1:34: storages[0].endpoint: is not a URL: its port must be a number"),
        ("schedule: {cron: '@dialy'}", "1:12: schedule.cron: '@dialy' is not a cron expression"),
        ("vault: {timeout: 30d}", "1:9: vault.timeout: must be at most 20 days"),
        ('run_on: "a\\0b"', "1:1: run_on: has a character that is not allowed: U+0000 (remove it)"),
    ],
)  # fmt: skip
def test_odd_values_are_told_with_the_mend(tmp_path: Path, text: str, expected: str) -> None:
    (path := tmp_path / "c.yaml").write_text(text)
    (line,) = faults(path, {})
    assert line.removeprefix(f"{path}:").startswith(expected)
