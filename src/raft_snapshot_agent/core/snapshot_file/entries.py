"""The storage entries inside a snapshot: their keys, and how large their values are.

`state.bin` is a sequence of entries, each an unsigned varint with its length and a protobuf message
`StorageEntry {1: key, 2: value, 3: seal_wrap}`, in the order of their keys. Values are sealed; most
keys are not.

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
"""Tags: the number of a field, and that a length follows."""
_LONGEST_HEADER = 64 << 10
"""Bytes before a value; bbolt takes keys of 32 KiB."""
_SMALL = 4096
"""Bytes of an entry up to which its value itself is what it is compared by."""
_NONE = "its state holds no storage entries"


class StateEntry(NamedTuple):
    """One key of the storage."""

    key: bytes
    size: int
    """Bytes of the value as it is stored."""
    mark: bytes = b""
    """What tells its value from any other; empty where nobody asked for it."""


class EntryReader:
    """Reads entries from a state that is fed in pieces; no value is kept in memory."""

    def __init__(self, *, marks: bool = False) -> None:
        """Begin at the first entry.

        Arguments:
            marks: Also give each entry what its value is compared by.
        """
        self._marks = marks
        self._rest = b""
        """Of a header that is not complete yet."""
        self._left = 0
        """Bytes of the present value that are still to come."""
        self._present: tuple[bytes, int] = b"", 0
        self._hash = hashlib.sha256()
        self._read: list[StateEntry] = []

    def take(self) -> list[StateEntry]:
        """Return the entries that were completed since the last call."""
        taken, self._read = self._read, []
        return taken

    def expect(self, size: int) -> None:
        """Begin a state of so many bytes."""

    def feed(self, piece: memoryview) -> None:
        """Read the next bytes of the state.

        Raises:
            VerificationError: They are no entries.
        """
        if self._left:
            piece = self._continue(piece)
        data = self._rest + piece
        self._rest = data[self._read_entries(data) :]
        if len(self._rest) > _LONGEST_HEADER:
            raise broken(_NONE)

    def finish(self) -> None:
        """Make sure that the last entry was complete.

        Raises:
            VerificationError: It was not.
        """
        if self._left or self._rest:
            raise broken("its state ends inside an entry")

    def _read_entries(self, data: bytes) -> int:
        """Read what is there; return where the first incomplete entry begins."""
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
        """Begin an entry whose value continues in the next piece."""
        self._present, self._left = (key, size), left
        if self._marks:
            self._hash = hashlib.sha256(part)

    def _continue(self, piece: memoryview) -> memoryview:
        """Go on in such an entry; return what follows it."""
        part = piece[: self._left]
        self._left -= len(part)
        if self._marks:
            self._hash.update(part)
        if not self._left:
            mark = self._hash.digest() if self._marks else b""
            self._read.append(StateEntry(*self._present, mark))
        return piece[len(part) :]


class EntryCounter(Protocol):
    """What counts entries as soon as they are read."""

    is_readable: bool
    """Whether it goes on."""

    def expect(self, size: int) -> None:
        """Begin a state of so many bytes."""

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Count some more entries."""


class CountedEntries(EntryReader):
    """Has entries counted when they are read; a state of another form is whole all the same."""

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
    """Read the key, the value's size, where the value begins, and where the entry ends.

    Written out for speed: an archive of 1 GiB may have millions of entries.

    Raises:
        IndexError: The header is not complete yet.
        VerificationError: It is no header.
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
    """Read how large an entry's value is, and where it begins."""
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
    """Read an unsigned varint of several bytes."""
    value = shift = 0
    while shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise broken(_NONE)
