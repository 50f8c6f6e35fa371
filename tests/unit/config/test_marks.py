from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.config.keys import KeyPath, Mark
from raft_snapshot_agent.config.positions import TextError, json_marks, toml_marks
from raft_snapshot_agent.config.yaml_text import parse_yaml

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
TOML = """\
# a comment with [brackets] and "quotes"
title = "x # ] }" # [not.a.table]
dotted.key = 1
text = \"\"\"
[storages]
with \\\\\" quotes\"\"\"\"
literal = '''
a = 1'''

  [vault]
  address = 'https://h'
[vault.tls]
"ca_file" = "/x"
[[storages]]
type = "local"
tags = [ "a", # ]
  {k = 1, "l.m" = [2, 3]},
]
[[ storages ]]
type = "s3"
[storages.retention]
last = 3
[[storages.rules]]
a = 2026-01-01 07:30:00
[[storages.rules]]
b = {}
"""


def paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every path inside a value."""
    if isinstance(value, dict):
        inner = {(*path, key): child for key, child in value.items()}
    elif isinstance(value, list):
        inner = {(*path, index): child for index, child in enumerate(value)}
    else:
        return set()
    return set(inner).union(*(paths(child, at) for at, child in inner.items()))


def text_at(text: str, mark: Mark) -> str:
    return text.split("\n")[mark.line - 1][mark.column - 1 :]


@given(DOCUMENTS, st.sampled_from([None, 1, "\t"]))
def test_json_marks_every_key_and_item_where_it_stands(
    document: Any, indent: int | str | None
) -> None:
    text = json.dumps(document, indent=indent)
    marks = json_marks(text)
    assert set(marks) == paths(document)
    for path, mark in marks.items():
        if isinstance(path[-1], str):
            assert text_at(text, mark).startswith(json.dumps(path[-1]) + ":")


@given(st.text("abc ,:#[]{}\"'\\\n", min_size=1))
def test_yaml_marks_a_key_whatever_is_in_it(key: str) -> None:
    text = "outer:\n  " + yaml.safe_dump({key: [1, {key: 2}]}, default_flow_style=True, width=9999)
    value, marks = parse_yaml(text)
    assert value == {"outer": {key: [1, {key: 2}]}}
    assert set(marks) == paths(value)
    assert marks["outer",] == Mark(1, 1)


def test_toml_marks_every_key_table_and_item() -> None:
    assert set(toml_marks(TOML)) == paths(tomllib.loads(TOML))


@pytest.mark.parametrize(
    ("path", "starts"),
    [
        (("title",), "title ="),
        (("dotted", "key"), "dotted.key"),
        (("vault",), "[vault]"),
        (("vault", "address"), "address = 'https"),
        (("vault", "tls", "ca_file"), '"ca_file" ='),
        (("storages", 0, "tags", 1, "l.m"), '"l.m" = [2'),
        (("storages", 0, "tags", 1, "l.m", 1), "3]"),
        (("storages", 1), "[[ storages ]]"),
        (("storages", 1, "retention", "last"), "last = 3"),
        (("storages", 1, "rules", 1, "b"), "b = {}"),
    ],
)
def test_toml_marks_point_at_the_key(path: KeyPath, starts: str) -> None:
    assert text_at(TOML, toml_marks(TOML)[path]).startswith(starts)


def test_a_json_key_given_twice_is_found_where_it_comes_again() -> None:
    with pytest.raises(TextError) as caught:
        json_marks('{"a": [{"b": 1,\n\t"b": 2}]}')
    assert (caught.value.path, caught.value.mark) == (("a", 0, "b"), Mark(2, 2))
