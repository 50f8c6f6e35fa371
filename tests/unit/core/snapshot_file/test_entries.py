"""Entries are read from any pieces, and nothing else is taken for entries."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.entries import entry, state, varint

from raft_snapshot_agent.core.snapshot_file.entries import EntryReader, StateEntry
from raft_snapshot_agent.errors import VerificationError

SEAL_WRAP = b"\x18\x01"
KEYS = st.binary(min_size=1, max_size=300)
VALUES = st.one_of(
    st.binary(max_size=200), st.integers(3900, 20000).map(lambda size: bytes([size % 251]) * size)
)


def read(content: bytes, step: int, *, marks: bool = False) -> list[StateEntry]:
    reader, view, entries = EntryReader(marks=marks), memoryview(content), list[StateEntry]()
    for start in range(0, len(view), step):
        reader.feed(view[start : start + step])
        entries += reader.take()
    reader.finish()
    return entries


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.integers(1, 30000))
def test_entries_are_the_same_in_whatever_pieces_they_come(
    entries: dict[bytes, bytes], step: int
) -> None:
    found = read(state(entries), step, marks=True)
    assert [(one.key, one.size) for one in found] == [
        (key, len(value)) for key, value in sorted(entries.items())
    ]
    assert found == read(state(entries), 1 << 30, marks=True)


@given(VALUES, VALUES, st.integers(1, 5000))
def test_values_are_told_from_each_other(one: bytes, other: bytes, step: int) -> None:
    (first,) = read(entry(b"a", one), step, marks=True)
    (second,) = read(entry(b"a", other), 1 << 30, marks=True)
    assert (first.mark == second.mark) is (one == other)


def test_a_field_that_follows_the_value_belongs_to_its_entry() -> None:
    content = entry(b"a", b"x" * 5000, SEAL_WRAP) + entry(b"b", b"", SEAL_WRAP) + entry(b"c", b"y")
    for step in (1, 7, 4096, 1 << 20):
        assert [(one.key, one.size) for one in read(content, step)] == [
            (b"a", 5000),
            (b"b", 0),
            (b"c", 1),
        ]


@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        b"\x05\x12\x01a\x0a\x00",
        b"\xff" * 12,
        b"\x03\x0a\x09abc" + bytes(20),
        b"\x06\x0a\x01a\x12\x09b" + bytes(20),
        varint(1 << 40) + b"\x0a" + varint(1 << 39) + bytes(200_000),
    ],
)
def test_what_is_no_entry_is_told(content: bytes) -> None:
    with pytest.raises(VerificationError, match="holds no storage entries"):
        read(content, 1 << 16)


@pytest.mark.parametrize("cut", [1, 2, 4, 10, 5000])
def test_an_entry_that_is_cut_off_is_told(cut: int) -> None:
    content = entry(b"abc", b"x" * 6000)
    with pytest.raises(VerificationError, match="ends inside an entry"):
        read(content[:-cut], 1000)


def test_no_value_is_kept() -> None:
    reader, piece = EntryReader(marks=True), memoryview(bytes(1 << 16))
    size = 64 << 20
    head = entry(b"large", b"x" * 5000)[:0] + varint(size + 7 + 5) + b"\x0a\x05large"
    head += b"\x12" + varint(size)
    tracemalloc.start()
    try:
        reader.feed(memoryview(head))
        for _ in range(size >> 16):
            reader.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
