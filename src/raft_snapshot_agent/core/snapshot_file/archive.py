"""Verifies that a stream of bytes is one whole snapshot.

A snapshot is `gzip(tar(meta.json, state.bin, SHA256SUMS, SHA256SUMS.sealed))`. The server answers
200 before it knows whether it can finish, and neither HTTP nor the standard library's `tarfile`
detects an archive that ends early, so everything is checked here, while the bytes arrive.

Source: `physical/raft/snapshot/archive.go` of OpenBao and hashicorp/raft-snapshot.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from zlib_ng import zlib_ng

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshot_file.archive_text import (
    PAX,
    SUMS,
    broken,
    pax_size,
    read_sums,
)
from raft_snapshot_agent.core.snapshot_file.entries import EntryReader
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import VerificationError

META, STATE, SEALED = "meta.json", "state.bin", "SHA256SUMS.sealed"
_MEMBERS = (META, STATE, SUMS, SEALED)
_HASHED = (META, STATE)
_BLOCK = 512
_SLICE = 1 << 17
"""Compressed bytes per call; bytes that a call does not consume are copied."""
_STEP = 1 << 18
"""Most decompressed bytes per call: fits the processor's cache, limits a malicious archive."""
_SMALL = 1 << 20
"""Most bytes of any member but state.bin; real ones have a few hundred."""
_MOST_PAX = 8
"""PAX headers; Go writes one, for a state over 8 GiB."""
_FREE, _MOST_RATIO = 256 << 20, 200
"""Limits of the decompressed size: always allowed bytes, and the largest ratio beyond them. Sealed
data does not compress, so a larger archive is malicious."""
_MOST_ZERO_BLOCKS = 2048
"""Zero blocks at the end of the tar: two are required, tar programs write up to some hundred."""
# Its stub declares an instance where there is a class.
_DAMAGED = cast("type[Exception]", zlib_ng.error)
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions that invalid JSON can raise."""


class ArchiveVerifier:
    """Checks an archive that is fed in pieces; memory does not grow with its size.

    zlib-ng decompresses and checks CRCs two to three times as fast as the standard library's zlib.
    """

    def __init__(self, *, digest: bool = True, entries: EntryReader | None = None) -> None:
        """Start a check.

        Arguments:
            digest: Also compute the SHA-256 of the archive, which a manifest needs; it costs as
                much as all other checks.
            entries: Also reads the entries of the state.
        """
        self._inflate = zlib_ng.decompressobj(wbits=31)
        self._tar = _Tar(entries)
        self._sha256 = hashlib.sha256() if digest else None
        self._size = self._content = 0

    @property
    def meta(self) -> ArchiveMeta | None:
        """Content of `meta.json`; `None` until it has arrived, within the first KiB."""
        return self._tar.meta

    def feed(self, chunk: bytes | memoryview) -> None:
        """Check the next bytes.

        Raises:
            VerificationError: The archive is already known to be broken.
        """
        if self._size == 0 and not bytes(chunk[:2]).startswith(b"\x1f\x8b"[: len(chunk)]):
            raise broken("it is not a gzip archive")
        self._size += len(chunk)
        if self._sha256 is not None:
            self._sha256.update(chunk)
        view = memoryview(chunk)
        for start in range(0, len(view), _SLICE):
            for piece in self._inflate_part(view[start : start + _SLICE]):
                self._content += len(piece)
                if self._content > _FREE + _MOST_RATIO * self._size:
                    raise broken(f"it expands to more than {_MOST_RATIO} times its size")
                self._tar.feed(memoryview(piece))

    def finish(self) -> Snapshot:
        """Return the verified snapshot after the last byte.

        Raises:
            VerificationError: The archive is truncated, or a hash does not match.
        """
        if self._size == 0:
            raise broken("it is empty")
        if not self._inflate.eof:
            raise broken(f"it is cut off after {self._size} bytes")
        meta = self._tar.finish()
        sha256 = self._sha256.hexdigest() if self._sha256 is not None else ""
        return Snapshot(meta=meta, size=self._size, sha256=sha256)

    def _inflate_part(self, part: memoryview) -> Iterator[bytes]:
        if self._inflate.eof:
            raise broken("bytes follow its end")
        rest: bytes | memoryview = part
        while True:
            try:
                piece = self._inflate.decompress(rest, _STEP)
            except _DAMAGED as error:
                raise broken(f"gzip: {str(error).rpartition(': ')[2]}") from error
            yield piece
            if self._inflate.unused_data:
                raise broken("bytes follow its end")
            rest = self._inflate.unconsumed_tail
            if self._inflate.eof or (not rest and len(piece) < _STEP):
                return


class _Tar:
    """Checks the tar inside the archive: members, sizes and hashes."""

    def __init__(self, entries: EntryReader | None) -> None:
        self._entries = entries
        self.meta: ArchiveMeta | None = None
        self._header = bytearray()
        self._name = ""
        self._left = 0
        self._padding = 0
        self._zero_blocks = 0
        self._pax_size: int | None = None
        self._pax_headers = 0
        self._written_at: int | None = None
        self._state_size = 0
        self._small: dict[str, bytearray] = {}
        self._state = hashlib.sha256()
        self._seen: list[str] = []

    def feed(self, data: memoryview) -> None:
        while data:
            if self._left:
                data = self._body(data)
            elif self._padding:
                skipped = min(self._padding, len(data))
                self._padding -= skipped
                data = data[skipped:]
            else:
                wanted = _BLOCK - len(self._header)
                self._header += data[:wanted]
                data = data[wanted:]
                self._block()

    def finish(self) -> ArchiveMeta:
        if self._left or self._padding:
            raise broken(f"its tar ends inside {self._name}")
        if self._header or self._zero_blocks < 2:
            raise broken("truncated archive: the end marker is missing")
        missing = [name for name in _MEMBERS if name not in self._seen]
        if missing and missing != [SEALED]:
            raise broken(f"{missing[0]} is missing")
        if missing or not self._small[SEALED]:
            raise VerificationError(
                f"the snapshot is broken: {SEALED} is missing or empty",
                hint="the server could not use its seal while it wrote the snapshot:"
                " check its KMS or transit key",
            )
        assert self.meta is not None  # noqa: S101 - meta.json has been seen
        if self.meta.size != self._state_size:
            raise broken(f"{STATE} has {self._state_size} bytes, {META} says {self.meta.size}")
        self._compare()
        if self._entries is not None:
            self._entries.finish()
        return self.meta

    def _compare(self) -> None:
        actual = {
            META: hashlib.sha256(self._small[META]).hexdigest(),
            STATE: self._state.hexdigest(),
        }
        listed = read_sums(bytes(self._small[SUMS]))
        for name, digest in listed:
            if name not in actual:
                raise broken(f"{SUMS} lists {name[:40]!r}")
            if actual[name] != digest:
                raise broken(f"the hash of {name} does not match {SUMS}")
        if missing := [name for name in _HASHED if name not in dict(listed)]:
            raise broken(f"{SUMS} does not list {missing[0]}")

    def _body(self, data: memoryview) -> memoryview:
        part = data[: self._left]
        if self._name == STATE:
            self._state.update(part)
            if self._entries is not None:
                self._entries.feed(part)
            self._state_size += len(part)
        else:
            self._small[self._name] += part
        self._left -= len(part)
        if not self._left:
            self._end_of_member()
        return data[len(part) :]

    def _end_of_member(self) -> None:
        if self._name == META:
            self.meta = replace(_meta(bytes(self._small[META])), written_at=self._written_at)
        elif self._name == PAX:
            self._pax_size = pax_size(bytes(self._small.pop(PAX)))

    def _block(self) -> None:
        if len(self._header) < _BLOCK:
            return
        block = bytes(self._header)
        self._header.clear()
        if any(block) and not self._zero_blocks:
            self._open(block)
        elif any(block) or self._zero_blocks == _MOST_ZERO_BLOCKS:
            raise broken("bytes follow the end of its tar")
        else:
            self._zero_blocks += 1

    def _open(self, block: bytes) -> None:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise broken(f"its tar header is damaged: {error}") from error
        self._left = info.size if self._pax_size is None else self._pax_size
        self._pax_size = None
        if self._left < 0:
            raise broken("its tar header is damaged: negative size")
        self._padding = -self._left % _BLOCK
        if info.type == tarfile.XHDTYPE:
            self._name = PAX
            self._pax_headers += 1
            if self._pax_headers > _MOST_PAX:
                raise broken(f"it has more than {_MOST_PAX} PAX headers")
        else:
            self._name = info.name
            self._admit(info)
        if self._name == STATE and self._entries is not None:
            self._entries.expect(self._left)
        if self._name != STATE:
            if self._left > _SMALL:
                raise broken(f"{self._name} has {self._left} bytes")
            self._small[self._name] = bytearray()
        if not self._left:
            self._end_of_member()

    def _admit(self, info: tarfile.TarInfo) -> None:
        if info.name not in _MEMBERS or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise broken(f"it holds an unexpected member {info.name[:40]!r}")
        if info.name in self._seen:
            raise broken(f"it holds {info.name} twice")
        self._seen.append(info.name)
        if info.name == META:
            self._written_at = int(info.mtime) or None


def _meta(text: bytes) -> ArchiveMeta:
    try:
        fields = read_json(text)
        servers = (fields.get("Configuration") or {}).get("Servers") or ()
        return ArchiveMeta(
            index=int(fields["Index"]),
            term=int(fields["Term"]),
            size=int(fields["Size"]),
            servers=tuple(str(server.get("ID", "")) for server in servers),
        )
    except _UNREADABLE as error:
        raise broken(f"{META} cannot be read") from error
