"""Snapshots made by hand, whole or broken in one chosen way, and the verdict on them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.errors import VerificationError

STATE = bytes(range(256)) * 3
INDEX, TERM = 4711, 3
WRITTEN_AT = 1_764_000_000
Parts = dict[str, bytes]


def meta(**changed: Any) -> bytes:
    """Make a meta.json as the server writes it."""
    server = {"Suffrage": 0, "ID": "bao0", "Address": "127.0.0.1:8201"}
    fields = {
        "Version": 1,
        "ID": "bolt-snapshot",
        "Index": INDEX,
        "Term": TERM,
        "Peers": None,
        "Configuration": {"Servers": [server]},
        "ConfigurationIndex": 1,
        "Size": len(STATE),
    }
    return json.dumps(fields | changed).encode()


def sums(parts: Mapping[str, bytes]) -> bytes:
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in parts.items())
    return "".join(lines).encode()


def members(meta_json: bytes | None = None, state: bytes = STATE) -> Parts:
    """Make the four members, with sums that hold."""
    hashed = {"meta.json": meta_json or meta(Size=len(state)), "state.bin": state}
    return hashed | {"SHA256SUMS": sums(hashed), "SHA256SUMS.sealed": b"sealed " * 26}


def header(
    name: str, size: int, *, kind: bytes = tarfile.REGTYPE, written_at: int = WRITTEN_AT
) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.type = size, 0o600, written_at, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes, written_at: int = WRITTEN_AT) -> bytes:
    return header(name, len(data), written_at=written_at) + padded(data)


def pax_member(name: str, data: bytes, records: bytes, size: int = 0) -> bytes:
    """Make a member whose header says `size`, and the PAX records before it something else."""
    extended = header("PaxHeaders.0/x", len(records), kind=tarfile.XHDTYPE)
    return extended + padded(records) + header(name, size) + padded(data)


def pax_record(key: str, value: str) -> bytes:
    tail = f" {key}={value}\n"
    length = len(tail) + 1
    while len(f"{length}{tail}") != length:
        length += 1
    return f"{length}{tail}".encode()


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def tar(
    parts: Mapping[str, bytes] | Iterable[tuple[str, bytes]], written_at: int = WRITTEN_AT
) -> bytes:
    pairs = parts.items() if isinstance(parts, Mapping) else parts
    return b"".join(member(name, data, written_at) for name, data in pairs) + bytes(1024)


def packed(plain: bytes, level: int = 0) -> bytes:
    return gzip.compress(plain, compresslevel=level, mtime=0)


def archive(parts: Mapping[str, bytes] | None = None, level: int = 0) -> bytes:
    return packed(tar(members() if parts is None else parts), level)


def unpacked(snapshot: bytes) -> Parts:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(snapshot))) as opened:
        return {one.name: (opened.extractfile(one) or io.BytesIO()).read() for one in opened}


def verified(content: bytes, step: int = 1 << 20) -> Snapshot:
    verifier = ArchiveVerifier()
    for start in range(0, len(content), step):
        verifier.feed(content[start : start + step])
    return verifier.finish()


def refusal(content: bytes, step: int = 1 << 20) -> str:
    """Return the line with which `content` is refused."""
    with pytest.raises(VerificationError) as raised:
        verified(content, step)
    line = str(raised.value)
    assert line.startswith("the snapshot is broken: ")
    assert raised.value.hint
    assert line.isprintable()
    assert len(line) < 300
    return line
