"""Snapshots of any size, written to disk as they are made: what is in them costs no memory."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.unit.core import archives, entries

MOUNT = "logical/00000000-0000-4000-8000-000000000000/"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What a snapshot holds: random values, as sealed ones are, below one mount."""

    size: int
    """Bytes of its state, or some more."""
    value: int = 900_000
    """Bytes of each value."""
    changed: int = 0
    """Another number: each hundredth value is another."""

    def entries(self) -> Iterator[bytes]:
        """Make the entries of its state, in the order of their keys."""
        source, written, number = random.Random(4711), 0, 0
        while written < self.size:
            value = source.randbytes(self.value)
            if self.changed and number % 100 == 0:
                value = self.changed.to_bytes(8) + value[8:]
            one = entries.entry(f"{MOUNT}{number:012}".encode(), value)
            yield one
            written += len(one)
            number += 1


def write_archive(path: Path, shape: Shape, written_at: int = archives.WRITTEN_AT) -> None:
    """Write a snapshot that is whole."""
    state = path.with_suffix(".state")
    digest = hashlib.sha256()
    with state.open("wb") as file:
        for one in shape.entries():
            digest.update(one)
            file.write(one)
    size = state.stat().st_size
    meta = archives.meta(Size=size)
    sums = f"{hashlib.sha256(meta).hexdigest()}  meta.json\n{digest.hexdigest()}  state.bin\n"
    rest = {"SHA256SUMS": sums.encode(), "SHA256SUMS.sealed": b"sealed " * 26}
    packer = zlib.compressobj(1, wbits=31)  # random values get no smaller by more
    with path.open("wb") as file, state.open("rb") as source:
        file.write(packer.compress(archives.member("meta.json", meta, written_at)))
        file.write(packer.compress(archives.header("state.bin", size, written_at=written_at)))
        _pack(source, packer, file)
        file.write(packer.compress(bytes(-size % 512) + archives.tar(rest, written_at)))
        file.write(packer.flush())
    state.unlink()


def _pack(source: BinaryIO, packer: zlib._Compress, file: BinaryIO) -> None:
    while piece := source.read(_PIECE):
        file.write(packer.compress(piece))
