"""Reads a stored snapshot back, twice where it seems broken, and returns the verdict.

A byte may be damaged in the storage or on the way. So nothing is called
broken that was read once: the second reading goes over a connection of its own, and both must
show the same bytes and the same defect (docs/decisions/0030).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Protocol, cast

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    SnapshotNotFound,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.threads import in_thread

_SMALL = 1 << 20
"""Bytes of a note or a manifest that are read; real ones have a few hundred."""
_REPLACED = "it was replaced after it was stored; do not trust it unless you know by whom"


OpenVerifier = Callable[[], ArchiveVerifier]


class SnapshotState(StrEnum):
    """What a snapshot is worth, as far as it could be read."""

    WHOLE = "whole"
    BROKEN = "broken"
    MISMATCH = "mismatch"
    """Whole, but not the snapshot that its name or its manifest describes."""
    UNREADABLE = "unreadable"
    """Nobody knows: fewer bytes came than there are, or not twice the same."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a snapshot before it is read."""

    index: int | None = None
    """Raft index, where the name tells it."""
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a snapshot to its end."""

    state: SnapshotState
    snapshot: Snapshot | None = None
    error: AgentError | None = None
    sha256: str = ""
    """Of all bytes that came, whatever they are."""
    before: str = ""
    """What was wrong with an earlier reading, where this one is good."""

    def agrees_with(self, other: Reading) -> bool:
        """Tell whether both found the same defect in the same bytes."""
        same = (self.state, self.sha256, str(self.error))
        return same == (other.state, other.sha256, str(other.error))


class Readable(Protocol):
    """A snapshot that can be read from its beginning."""

    def read(self) -> AsyncIterator[bytes]: ...

    async def expected(self) -> Expected:
        """Say what is known of it before it is read."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What lies in a storage under a snapshot's name."""

    storage: Storage
    name: str
    size: int | None = None
    """Bytes, as the storage lists it."""
    index: int | None = None
    """Raft index, where the name tells it."""

    async def read(self) -> AsyncIterator[bytes]:
        """Stream it.

        Raises:
            StorageError: It cannot be read, or another number of bytes came than is listed.
        """
        came = 0
        async with aclosing(cast("AsyncGenerator[bytes]", self.storage.read(self.name))) as pieces:
            async for piece in pieces:
                came += len(piece)
                yield piece
        if self.size not in (None, came):
            raise StorageError(
                f"{came} bytes of {self.storage.location(self.name)} came, {self.size} are listed",
                hint="the connection ended early, or it is being replaced; try again",
            )

    async def expected(self) -> Expected:
        return Expected(self.index, await manifest(self.storage, self.name))


async def judge(
    first: Readable, again: Readable, verifier: OpenVerifier = ArchiveVerifier
) -> Reading:
    """Say what a snapshot is worth; what does not look whole is read again before that.

    Arguments:
        first: The snapshot.
        again: The same, over a connection of its own.
        verifier: Makes one for each reading.
    """
    one = await read_once(first, verifier)
    if one.state is SnapshotState.WHOLE:
        return one
    other = await read_once(again, verifier)
    if other.state is SnapshotState.WHOLE:
        return replace(other, before="" if one.error is None else one.error.message)
    if SnapshotState.UNREADABLE in (one.state, other.state):
        return one if one.state is SnapshotState.UNREADABLE else other
    return one if one.agrees_with(other) else _describe_difference(one, other)


async def read_once(source: Readable, opened: OpenVerifier = ArchiveVerifier) -> Reading:
    """Read a snapshot to its end, also past a defect: the SHA-256 is to be that of all of it."""
    verifier, digest = opened(), hashlib.sha256()
    defect: VerificationError | None = None
    try:
        expected = await source.expected()
        async for piece in source.read():
            await in_thread(partial(digest.update, piece))
            if defect is None:
                defect = await in_thread(partial(_find_defect, verifier, piece))
        if defect is not None:
            raise defect
        snapshot = verifier.finish()
        compare(snapshot, expected)
    except MismatchedSnapshot as error:
        return Reading(SnapshotState.MISMATCH, error=error, sha256=digest.hexdigest())
    except VerificationError as error:
        return Reading(SnapshotState.BROKEN, error=error, sha256=digest.hexdigest())
    except AgentError as error:
        return Reading(SnapshotState.UNREADABLE, error=error)
    return Reading(SnapshotState.WHOLE, snapshot, sha256=snapshot.sha256)


def compare(snapshot: Snapshot, expected: Expected) -> None:
    """Hold a snapshot against what name and manifest say of it.

    Raises:
        MismatchedSnapshot: They do not belong together.
    """
    manifest, meta = expected.manifest, snapshot.meta
    if manifest is not None and manifest.sha256 != snapshot.sha256:
        raise MismatchedSnapshot(
            "it is whole, but not the snapshot its manifest describes: SHA-256"
            f" {snapshot.sha256[:12]}... instead of {manifest.sha256[:12]}...",
            hint=_REPLACED,
        )
    if expected.index not in (None, meta.index):
        why = f"its name says index {expected.index}, it holds {meta.index}"
        raise MismatchedSnapshot(f"it is whole, but {why}", hint=_REPLACED)
    told = manifest and (manifest.size, manifest.index, manifest.term)
    if told not in (None, (snapshot.size, meta.index, meta.term)):
        raise MismatchedSnapshot(
            "it is whole, but its manifest tells another size, index or term", hint=_REPLACED
        )


async def manifest(storage: Storage, name: str) -> Manifest | None:
    """Read what lies beside a snapshot; nothing where there is none, or where it is damaged.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return Manifest.from_json(await small(storage, manifest_name(name)))
    except (SnapshotNotFound, ValueError):
        return None


async def small(storage: Storage, name: str) -> bytes:
    """Read a note or a manifest; one that is too large to be any is cut off.

    Raises:
        SnapshotNotFound: There is none of that name.
        StorageError: It cannot be read.
    """
    content = b""
    async with aclosing(cast("AsyncGenerator[bytes]", storage.read(name))) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > _SMALL:
                break
    return content[:_SMALL]


def _find_defect(verifier: ArchiveVerifier, piece: bytes) -> VerificationError | None:
    try:
        verifier.feed(piece)
    except VerificationError as error:
        return error
    return None


def _describe_difference(one: Reading, other: Reading) -> Reading:
    said = ["" if reading.error is None else reading.error.message for reading in (one, other)]
    error = StorageError(
        f"two readings differ: {said[0]}; then {said[1]}",
        hint="something on the way changes bytes; check the network, proxies and the storage",
    )
    return Reading(SnapshotState.UNREADABLE, error=error)
