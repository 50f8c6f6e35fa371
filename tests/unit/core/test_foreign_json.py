"""JSON of others is read at small cost, or refused with a reason, from however deep it is asked."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.foreign_json import Number, read_json, write_json

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=200,
)  # fmt: skip


@given(DOCUMENTS, st.booleans())
def test_what_is_no_deeper_than_others_write_is_read_as_it_is(document: Any, plain: bool) -> None:
    text = json.dumps(document, ensure_ascii=plain)
    assert read_json(text) == document
    assert read_json("\ufeff" + text) == document
    if plain:
        assert read_json(text.encode()) == document


@given(DOCUMENTS)
def test_what_is_written_is_what_the_library_writes(document: Any) -> None:
    assert write_json(document) == json.dumps(document)
    assert write_json(document, indented=True) == json.dumps(document, indent=2)


@pytest.mark.parametrize(
    "text",
    [
        "0.12345678901234567890123",
        "123456789012345678901234567890.5",
        "12345678901234567890",
        "1e400",
        "-0.0",
        "1.50",
        "1E5",
    ],
)
def test_all_digits_of_a_number_are_kept(text: str) -> None:
    document = f'{{"a": [{text}, {{"b": {text}}}]}}'
    kept = read_json(document, parse_float=Number)
    assert write_json(kept) == document
    assert kept == read_json(document)


def nested(levels: int) -> str:
    return '[{"a": ' * (levels // 2) + "1" + "}]" * (levels // 2)


def test_brackets_in_text_are_text() -> None:
    document = {"a": "[" * 5000, 'b\\"[': ['{"' * 5000, "\\"] * 100}
    assert read_json(json.dumps(document)) == document
    wide: list[Any] = [[], {}] * 5000
    assert read_json(json.dumps(wide)) == wide


def test_64_levels_are_read_and_no_more() -> None:
    assert read_json(nested(64))
    with pytest.raises(ValueError, match="more than 64 levels"):
        read_json(nested(66))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2_000_000,
        '{"a":' * 500_000,
        nested(500_000),
        '["' + "[" * 70 + '", ' + "[" * 70,
        "[}" * 100,
        '"' + "\\" * 100_000,
        "NaN",
        '{"a": -Infinity}',
        "9" * 5000,
        "",
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_is_refused_wherever_it_is_read(text: str) -> None:
    def at_the_end_of_the_stack(left: int) -> object:
        return at_the_end_of_the_stack(left - 1) if left else read_json(text)

    for depth in (0, sys.getrecursionlimit() // 2):
        with pytest.raises(ValueError):
            at_the_end_of_the_stack(depth)


def test_what_is_no_utf_8_is_refused() -> None:
    for encoding in ("utf-16", "utf-32", "latin-1"):
        with pytest.raises(ValueError):
            read_json('{"a": "ä"}'.encode(encoding))
