"""Uploads a snapshot as a static large object, and removes what failed uploads left."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event

from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.http.body import Body, cleanup, if_small
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.swift.container import (
    SEGMENTS,
    Container,
    SwiftObject,
    segments_folder,
)

_SMALL = 4 << 20


class SwiftUpload:
    """One upload into a container."""

    def __init__(self, container: Container, key: str, segment_size: int) -> None:
        self._container = container
        self._key = key
        self._segment_size = segment_size
        self._folder = f"{segments_folder(key)}{secrets.token_hex(4)}/"
        self._begun: list[str] = []

    def run(self, source: UploadSource, stop: Event) -> int:
        """Store the source while it grows; set `stop` to cancel.

        Returns:
            Bytes stored, as reported by the store if that is permitted.
        """
        before: list[str] = []
        with suppress(StorageDenied):  # reading is an optional right
            before = self._container.segments(self._key)
        content = if_small(source, _SMALL)
        if content is not None:
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            self._container.put(self._key, content, {"etag": digest})
            size = len(content)
        else:
            size = self._large(source, stop)
        self._compare(size)
        with suppress(StorageError):  # the snapshot is safe; a sweep finds them again
            self._container.remove(before)
        return size

    def _large(self, source: UploadSource, stop: Event) -> int:
        try:
            parts = list(self._segments(source, stop))
        except BaseException:
            with cleanup():
                self._container.remove(self._begun)
            raise
        self._join(parts)
        return sum(int(part["size_bytes"]) for part in parts)

    def _segments(self, source: UploadSource, stop: Event) -> Iterator[dict[str, str | int]]:
        position = 0
        while source.follow(position) > position:
            key = f"{self._folder}{len(self._begun):08}"
            self._begun.append(key)
            body = Body(source, stop, position, self._segment_size)
            digest = hashlib.md5(usedforsecurity=False)
            stored = self._container.put(key, _digested(body, digest))
            if stored != digest.hexdigest():
                what = self._container.shown(key)
                raise StorageUnavailable(
                    f"{what} arrived changed", hint="likely the network, or what is in between"
                )
            yield {
                "path": self._container.path(key),
                "etag": stored,
                "size_bytes": body.size,
            }
            position += body.size

    def _join(self, parts: list[dict[str, str | int]]) -> None:
        """Create the large object; the store compares each segment's size and checksum."""
        query = {"multipart-manifest": "put"}
        try:
            self._container.put(self._key, json.dumps(parts).encode(), query=query)
        except StorageUnavailable:
            # The object may exist nevertheless. If it does, or if that is unknown, the segments
            # must stay; a sweep removes unused ones later.
            if not self._came_about():
                raise
        except StorageError:
            with cleanup():
                self._container.remove(self._begun)
            raise

    def _came_about(self) -> bool:
        try:
            return self._container.segments(self._key) == self._begun
        except StorageError:
            return False

    def _compare(self, sent: int) -> None:
        stored = self._container.size(self._key)
        if stored in {None, sent}:
            return
        with cleanup():
            self._container.remove([self._key, *self._begun])
        raise StorageError(f"{self._container.shown(self._key)} holds {stored} bytes of {sent}")


def sweep(container: Container, prefix: str, leftovers: Leftovers) -> int:
    """Remove the segments of abandoned uploads.

    Returns:
        Number of uploads; 0 without permission to list or read.
    """
    now, swept = datetime.now(UTC), 0
    with suppress(StorageDenied):
        for name, segments in _unclaimed(container, prefix):
            keys = [one.key for one in segments]
            if not leftovers.is_abandoned(name, max(one.touched for one in segments), now):
                continue
            if not set(keys) & set(container.segments(prefix + name)):
                container.remove(keys)
                swept += 1
    return swept


def _unclaimed(container: Container, prefix: str) -> Iterator[tuple[str, list[SwiftObject]]]:
    """Find uploads that may belong to no object, without a request for each."""
    uploads: defaultdict[str, defaultdict[str, list[SwiftObject]]] = defaultdict(
        lambda: defaultdict(list)
    )
    doing = f"cannot list {container.shown(prefix)}"
    for one in container.listed(doing, prefix + SEGMENTS):
        name, _, rest = one.key.removeprefix(prefix + SEGMENTS).partition("/")
        uploads[name][rest.partition("/")[0]].append(one)
    whole = {one.key for one in container.listed(doing, prefix, "/")} if uploads else set()
    for name, tried in uploads.items():
        if prefix + name not in whole or len(tried) > 1:
            yield from ((name, segments) for segments in tried.values())


def _digested(body: Body, digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in body:
        digest.update(piece)
        yield piece
