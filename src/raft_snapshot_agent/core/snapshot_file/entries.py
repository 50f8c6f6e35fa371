"""Reads the storage entries inside a snapshot: keys and sizes of values.

`state.bin` is a sequence of entries, each an unsigned varint with its length and a protobuf message
`StorageEntry {1: key, 2: value, 3: seal_wrap}`, sorted by key. Values are encrypted; most keys are
not.

Source: `physical/raft/fsm.go` and `sdk/plugin/pb` of OpenBao; Protocol Buffers, "Encoding".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from raft_snapshot_agent.core.snapshot_file.archive_text import broken
from raft_snapshot_agent.errors import VerificationError

_KEY, _VALUE = 0x0A, 0x12
"""Tags: field number and wire type "length-delimited"."""
_LONGEST_HEADER = 64 << 10
"""Most bytes before a value; bbolt allows keys of 32 KiB."""
_SMALL = 4096
"""Size of an entry up to which values are compared directly instead of by hash."""
_NONE = "its state holds no storage entries"


class StateEntry(NamedTuple):
    """One key of the storage."""

    key: bytes
    size: int
    """Bytes of the stored value."""
    mark: bytes = b""
    """Value or hash by which values are compared; empty if not requested."""


class EntryReader:
    """Reads entries from a state that is fed in pieces; values are not kept in memory."""

    def __init__(self, *, marks: bool = False) -> None:
        """Start at the first entry.

        Arguments:
            marks: Also compute the mark by which values are compared.
        """
        self._marks = marks
        self._rest = b""
        """Bytes of an incomplete header."""
        self._left = 0
        """Remaining bytes of the present value."""
        self._present: tuple[bytes, int] = b"", 0
        self._hash = hashlib.sha256()
        self._read: list[StateEntry] = []

    def take(self) -> list[StateEntry]:
        """Return the entries completed since the last call."""
        taken, self._read = self._read, []
        return taken

    def expect(self, size: int) -> None:
        """Begin a state of so many bytes."""

    def feed(self, piece: memoryview) -> None:
        """Read the next bytes of the state.

        Raises:
            VerificationError: They are not entries.
        """
        if self._left:
            piece = self._continue(piece)
        data = self._rest + piece
        self._rest = data[self._read_entries(data) :]
        if len(self._rest) > _LONGEST_HEADER:
            raise broken(_NONE)

    def finish(self) -> None:
        """Check that the last entry is complete.

        Raises:
            VerificationError: It is not.
        """
        if self._left or self._rest:
            raise broken("its state ends inside an entry")

    def _read_entries(self, data: bytes) -> int:
        """Read the complete entries; return the position of the first incomplete one."""
        position, end, marks, read = 0, len(data), self._marks, self._read
        while position < end:
            try:
                key, size, start, entry_end = _header(data, position)
            except IndexError:
                break
            if entry_end > end:
                if entry_end - start <= _SMALL:
                    break
                self._begin(key, size, memoryview(data)[start:], entry_end - end)
                return end
            mark = _mark(data, start, entry_end) if marks else b""
            read.append(StateEntry(key, size, mark))
            position = entry_end
        return position

    def _begin(self, key: bytes, size: int, part: memoryview, left: int) -> None:
        """Start an entry whose value continues in the next piece."""
        self._present, self._left = (key, size), left
        if self._marks:
            self._hash = hashlib.sha256(part)

    def _continue(self, piece: memoryview) -> memoryview:
        """Continue such an entry; return the bytes after it."""
        part = piece[: self._left]
        self._left -= len(part)
        if self._marks:
            self._hash.update(part)
        if not self._left:
            mark = self._hash.digest() if self._marks else b""
            self._read.append(StateEntry(*self._present, mark))
        return piece[len(part) :]


class EntryCounter(Protocol):
    """Counts entries while they are read."""

    is_readable: bool
    """Whether it still counts."""

    def expect(self, size: int) -> None:
        """Begin a state of so many bytes."""

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Count some more entries."""


class CountedEntries(EntryReader):
    """Passes entries to a counter; a state in an unknown format is not an error."""

    def __init__(self, counter: EntryCounter) -> None:
        super().__init__()
        self._counter = counter

    def expect(self, size: int) -> None:
        self._counter.expect(size)

    def feed(self, piece: memoryview) -> None:
        if self._counter.is_readable:
            with self._noting():
                super().feed(piece)
                self._counter.add(self.take())

    def finish(self) -> None:
        if self._counter.is_readable:
            with self._noting():
                super().finish()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except VerificationError:
            self._counter.is_readable = False


def _mark(data: bytes, start: int, end: int) -> bytes:
    if end - start <= _SMALL:
        return data[start:end]
    return hashlib.sha256(memoryview(data)[start:end]).digest()


def _header(data: bytes, position: int) -> tuple[bytes, int, int, int]:
    """Return key, size of the value, position of the value, and end of the entry.

    Inlined for speed: an archive of 1 GiB may have millions of entries.

    Raises:
        IndexError: The header is incomplete.
        VerificationError: It is not a header.
    """
    length = data[position]
    position += 1
    if length > 127:
        length, position = _varint(data, position - 1)
    end = position + length
    if length < 2:
        raise broken(_NONE)
    if data[position] != _KEY:
        raise broken(_NONE)
    size = data[position + 1]
    position += 2
    if size > 127:
        size, position = _varint(data, position - 1)
    key = data[position : position + size]
    position += size
    if position > end:
        raise broken(_NONE)
    if position == end:
        if len(key) < size:
            raise IndexError
        return key, 0, position, end
    return key, *_value(data, position, end), end


def _value(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return size and position of an entry's value."""
    if data[position] != _VALUE:
        return 0, position
    size = data[position + 1]
    position += 2
    if size > 127:
        size, position = _varint(data, position - 1)
    if position + size > end:
        raise broken(_NONE)
    return size, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return an unsigned varint of several bytes, and the position after it."""
    value = shift = 0
    while shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise broken(_NONE)
