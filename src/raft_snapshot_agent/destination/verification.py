"""Read a stored snapshot, twice if it seems broken, and return the verdict.

A byte may be damaged in the storage or in transfer. So a snapshot counts as broken only after two
readings over separate connections with the same bytes and the same defect (docs/decisions/0030).
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
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot
from raft_snapshot_agent.destination.sidecars import read_manifest
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.threads import in_thread

_REPLACED = "it was replaced after it was stored; do not trust it unless you know by whom"


OpenVerifier = Callable[[], ArchiveVerifier]


class SnapshotState(StrEnum):
    """The verdict on a snapshot."""

    WHOLE = "whole"
    BROKEN = "broken"
    MISMATCH = "mismatch"
    """Intact, but not what its name or manifest describes, or not signed with the agents' key."""
    UNREADABLE = "unreadable"
    """Unknown: bytes are missing, or two readings differ."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known about a snapshot before it is read."""

    index: int | None = None
    """Raft index, if the name contains it."""
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a snapshot to its end."""

    state: SnapshotState
    snapshot: Snapshot | None = None
    error: AgentError | None = None
    sha256: str = ""
    """SHA-256 of all received bytes, valid or not."""
    before: str = ""
    """The defect of an earlier reading, if this one is good."""

    def agrees_with(self, other: Reading) -> bool:
        """Return whether both found the same defect in the same bytes."""
        same = (self.state, self.sha256, str(self.error))
        return same == (other.state, other.sha256, str(other.error))


class Readable(Protocol):
    """A snapshot that can be read from its beginning."""

    def read(self) -> AsyncIterator[bytes]: ...

    async def expected(self) -> Expected:
        """Return what is known about it before it is read."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The object in a storage with a snapshot's name."""

    storage: Storage
    name: str
    size: int | None = None
    """Bytes, as listed."""
    index: int | None = None
    """Raft index, if the name contains it."""

    async def read(self) -> AsyncIterator[bytes]:
        """Stream it.

        Raises:
            StorageError: It cannot be read, or the number of bytes differs from the listing.
        """
        came = 0
        async with aclosing(cast("AsyncGenerator[bytes]", self.storage.read(self.name))) as pieces:
            async for piece in pieces:
                came += len(piece)
                yield piece
        if self.size not in (None, came):
            raise StorageError(
                f"received {came} bytes of {self.storage.location(self.name)}, but {self.size} "
                f"are listed",
                hint="the connection ended early, or it is being replaced; try again",
            )

    async def expected(self) -> Expected:
        return Expected(self.index, await read_manifest(self.storage, self.name))


async def judge(
    first: Readable, again: Readable, verifier: OpenVerifier = ArchiveVerifier
) -> Reading:
    """Return the verdict on a snapshot; read it again first if it does not look intact.

    Arguments:
        first: The snapshot.
        again: The same over a separate connection.
        verifier: Creates a verifier for each reading.
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


async def read_once(source: Readable, open_verifier: OpenVerifier = ArchiveVerifier) -> Reading:
    """Read a snapshot to its end, even after a defect, for the SHA-256 of all bytes."""
    verifier, digest = open_verifier(), hashlib.sha256()
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
    """Compare a snapshot with its name and its manifest.

    The index in the name is that of the first attempt in the slot. If a later attempt replaced
    the snapshot, its manifest tells a higher one.

    Raises:
        MismatchedSnapshot: They do not match.
    """
    manifest, meta = expected.manifest, snapshot.meta
    if manifest is not None and manifest.sha256 != snapshot.sha256:
        raise MismatchedSnapshot(
            "it is whole, but not the snapshot its manifest describes: SHA-256"
            f" {snapshot.sha256[:12]}... instead of {manifest.sha256[:12]}...",
            hint=_REPLACED,
        )
    named = meta.index if expected.index is None else expected.index
    if named > meta.index or (named < meta.index and manifest is None):
        why = f"its name says index {named}, it holds {meta.index}"
        raise MismatchedSnapshot(f"it is whole, but {why}", hint=_REPLACED)
    told = manifest and (manifest.size, manifest.index, manifest.term)
    if told not in (None, (snapshot.size, meta.index, meta.term)):
        raise MismatchedSnapshot(
            "it is whole, but its manifest tells another size, index or term", hint=_REPLACED
        )


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
        hint="bytes are changed in transfer; check the network, proxies and the storage",
    )
    return Reading(SnapshotState.UNREADABLE, error=error)
