"""Whatever a file holds, it loads or is refused in one line."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raft_snapshot_agent.config.dialects import dialect
from raft_snapshot_agent.config.dialects.seed import SeedAws, SeedFile, translate
from raft_snapshot_agent.config.document import parse
from raft_snapshot_agent.config.faults import validate
from raft_snapshot_agent.config.model import Config
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


@settings(max_examples=200, deadline=None)
@given(SUFFIXES, st.text("abc:-=[]{}<&*!|>\"'\\#,.1 \t\r\n\0é\ud800", max_size=30))
def test_any_text(suffix: str, text: str) -> None:
    with suppress(UnicodeEncodeError):
        text.encode()
        assert re.fullmatch("f:.*", refusal(suffix, text))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_values(value: dict[str, Any]) -> None:
    for suffix in (".json", ".yaml"):
        assert re.fullmatch("f:.*", refusal(suffix, json.dumps(value)))
