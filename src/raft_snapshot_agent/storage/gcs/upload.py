"""Uploads a snapshot as an object that is visible only when it is complete.

A small snapshot is sent in one request. A larger one is sent while it grows, in chunks of a
resumable upload. The last bytes wait for verification, and are sent with the checksum of the whole
object, so that the store refuses changed data.

Each answer of the store has the number of bytes it has kept, and it ignores bytes sent twice, so a
chunk whose answer is lost is sent again. The number is not requested separately, because
fake-gcs-server would take that request for the end of the upload.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.snapshots.naming import snapshot_name
from raft_snapshot_agent.errors import Stopped, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.gcs.bucket import GONE, GcsBucket, GcsObject
from raft_snapshot_agent.storage.http.body import PIECE, StoppableSource, cleanup, if_small

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

UNIT = 256 << 10
"""Size unit of all chunks but the last. Source: "Perform resumable uploads"."""
_LEAST = 16 << 20
_MOST = 64 << 20
"""Most bytes of a chunk; each costs a round trip, and is sent again as a whole."""
_SMALL = 4 << 20
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a chunk is sent again."""
_RANGE = re.compile(r"bytes=0-([0-9]{1,18})")
_INCOMPLETE = 308


def upload(
    bucket: GcsBucket,
    doing: str,
    key: str,
    source: UploadSource,
    stop: Event,
    storage_class: str | None,
) -> int:
    """Store a source while it grows; set `stop` to cancel.

    Returns:
        Bytes stored, as reported by the store.
    """
    source = StoppableSource(source, stop)
    name = key.rpartition("/")[2]
    metadata = {"name": key}
    # Files beside a snapshot are read by every command, so they are not archived.
    if storage_class is not None and snapshot_name(name) == name:
        metadata["storageClass"] = storage_class
    content = if_small(source, _SMALL)
    if content is None:
        return _Session.begin(bucket, doing, metadata).run(source, stop)
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    metadata["md5Hash"] = base64.b64encode(digest).decode()
    stored = bucket.insert(doing, content, metadata)
    return compared(bucket, stored or GcsObject(key, 0, "", ""), len(content), metadata["md5Hash"])


def compared(bucket: GcsBucket, stored: GcsObject, sent: int, md5: str) -> int:
    """Compare the stored object with what was sent; delete it if it differs."""
    if stored.size == sent and stored.md5 in {"", md5}:
        return sent
    where = bucket.shown(stored.key)
    with cleanup():
        bucket.delete(f"cannot delete {where}", stored.key, stored.generation)
    if stored.size != sent:
        raise StorageUnavailable(f"{where} holds {stored.size} bytes of {sent} sent")
    raise StorageUnavailable(f"{where} arrived changed", hint="check the network")


@dataclass(slots=True)
class _Digest:
    """The MD5 of all bytes up to a position, even if some are sent several times."""

    reached: int = 0
    of: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def learn(self, position: int, piece: bytes) -> None:
        """Add the part of a piece that is not yet included."""
        self.of.update(memoryview(piece)[self.reached - position :])
        self.reached = max(self.reached, position + len(piece))

    def base64(self) -> str:
        return base64.b64encode(self.of.digest()).decode()


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The bytes of one request, read from the source each time it is sent."""

    source: UploadSource
    digest: _Digest
    start: int
    end: int

    def __iter__(self) -> Iterator[bytes]:
        position = self.start
        while position < self.end:
            piece = self.source.read(position, min(PIECE, self.end - position))
            if not piece:
                raise Stopped("the snapshot became shorter while it was sent")
            self.digest.learn(position, piece)
            position += len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class _Session:
    """One resumable upload."""

    bucket: GcsBucket
    doing: str
    key: str
    url: str

    @classmethod
    def begin(cls, bucket: GcsBucket, doing: str, metadata: dict[str, str]) -> _Session:
        return cls(bucket, doing, metadata["name"], bucket.begin(doing, metadata))

    def run(self, source: UploadSource, stop: Event) -> int:
        try:
            return self._all(source, stop)
        except BaseException:
            with cleanup():
                self.bucket.cancel(self.doing, self.url)
            raise

    def _all(self, source: UploadSource, stop: Event) -> int:
        digest, position = _Digest(), 0
        while (reached := _available(source, position)) - position >= UNIT:
            end = position + (reached - position) // UNIT * UNIT
            position = self._send(_Chunk(source, digest, position, end), stop)
        rest = b"".join(_Chunk(source, digest, position, reached))
        stored = self._finish(position, rest, digest.base64(), stop)
        return compared(self.bucket, stored, reached, digest.base64())

    def _send(self, chunk: _Chunk, stop: Event) -> int:
        """Send a chunk; return the total number of bytes that the store has now."""
        size = chunk.end - chunk.start
        headers = {
            "content-range": f"bytes {chunk.start}-{chunk.end - 1}/*",
            "content-length": str(size),
        }
        answer = self._patiently(headers, chunk, stop)
        if answer.status != _INCOMPLETE:
            raise self.bucket.refused(self.doing, answer)
        kept = _RANGE.fullmatch(answer.headers.get("range", ""))
        position = int(kept[1]) + 1 if kept else 0
        if not chunk.start < position <= chunk.end:
            why = f"{self.doing}: the store keeps {position} bytes of {chunk.end} sent"
            raise StorageUnavailable(why, hint="it may be temporary; check the store")
        return position

    def _finish(self, position: int, rest: bytes, md5: str, stop: Event) -> GcsObject:
        total = position + len(rest)
        sent = f"{position}-{total - 1}" if rest else "*"
        headers = {"content-range": f"bytes {sent}/{total}", "x-goog-hash": f"md5={md5}"}
        try:
            answer = self._patiently(headers, rest, stop)
        except StorageUnavailable:
            # The object may have been stored although the answer is an error.
            if found := self._came_about(total, md5):
                return found
            raise
        if answer.status in GONE and (found := self._came_about(total, md5)):
            return found
        return self.bucket.described(self.doing, answer)

    def _came_about(self, size: int, md5: str) -> GcsObject | None:
        with suppress(StorageError):
            found = self.bucket.describe(self.key)
            return found if (found.size, found.md5) == (size, md5) else None
        return None

    def _patiently(
        self, headers: dict[str, str], body: _Chunk | bytes, stop: Event
    ) -> BaseHTTPResponse:
        """Send a request, with retries where they may help, so that the upload is not lost."""
        for wait in _WAITS:
            try:
                return self._once(headers, body)
            except StorageUnavailable as error:
                pause = max(wait, error.pause)
            if stop.wait(pause):
                raise Stopped("the upload was cancelled")
        return self._once(headers, body)

    def _once(self, headers: dict[str, str], body: _Chunk | bytes) -> BaseHTTPResponse:
        answer = self.bucket.request(self.doing, "PUT", self.url, headers, body)
        if answer.status in {408, 429} or answer.status >= 500:
            raise self.bucket.refused(self.doing, answer)
        return answer


def _available(source: UploadSource, position: int) -> int:
    """Wait for a full chunk after `position`, or the end; return where it ends."""
    reached = position
    while reached - position < _LEAST:
        longer = source.follow(reached)
        if longer == reached:
            break
        reached = longer
    return min(reached, position + _MOST)
