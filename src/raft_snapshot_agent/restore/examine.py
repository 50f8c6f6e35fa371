"""Read existing snapshots to their end: verify them and count their content."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from raft_snapshot_agent.core.history.proof import Judge
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot_file.contents import Contents
from raft_snapshot_agent.core.snapshot_file.difference import Difference, Side
from raft_snapshot_agent.core.snapshot_file.entries import CountedEntries, EntryReader
from raft_snapshot_agent.core.snapshots.snapshot import NOT_COUNTED, Snapshot
from raft_snapshot_agent.destination.verification import (
    OpenVerifier,
    Reading,
    SnapshotState,
    compare,
    judge,
    read_once,
)
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.copies import Tell, ignore, read_whole_copy
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader
from raft_snapshot_agent.threads import in_thread

_REPLACED_OR_ROTATED = (
    "do not trust it unless you know by whom it was stored; if the signing key was replaced, give"
    " the former ones as signing.old_keys"
)


async def judge_reader(reader: SnapshotReader, verifier: OpenVerifier = ArchiveVerifier) -> Reading:
    """Read a snapshot, twice unless it is intact, and return the verdict."""
    again = reader.again()
    if again is None:
        return await read_once(reader, verifier)
    return await judge(reader, again, verifier)


async def judge_origin(reader: SnapshotReader, verdict: Reading) -> Reading:
    """Return the verdict on a snapshot, which no wrong manifest lets count as whole.

    Manifests are judged alone: which unsigned ones are from before there was a key is not asked.
    """
    if verdict.snapshot is None or not isinstance(reader, StoredReader):
        return verdict
    proofs = reader.destination.proofs
    try:
        told = await proofs.read(reader.stored)
    except AgentError:  # then it is not known
        return verdict
    doubt = Judge(proofs.naming, proofs.keys).judge_stored(reader.stored, told).doubt
    if not doubt:
        return verdict
    why = MismatchedSnapshot(doubt.removesuffix(NOT_COUNTED), hint=_REPLACED_OR_ROTATED)
    return replace(verdict, state=SnapshotState.MISMATCH, error=why)


async def examine(reader: SnapshotReader, verifier: OpenVerifier = ArchiveVerifier) -> Snapshot:
    """Read a snapshot to its end and verify it; remove notes that mark it as broken.

    Arguments:
        reader: The snapshot.
        verifier: Creates a verifier for each reading.

    Raises:
        VerificationError: It is not intact, or not the one that its manifest describes.
        AgentError: It could not be read.
    """
    verdict = await judge_reader(reader, verifier)
    if verdict.snapshot is None:
        raise verdict.error or VerificationError("it is not a snapshot")
    reader.confirm(verdict.snapshot)
    with suppress(StorageError):  # it may be readable only
        await reader.remember(verdict)
    return verdict.snapshot


@contextmanager
def naming(reader: SnapshotReader) -> Iterator[None]:
    """Add the snapshot's name to an error about it."""
    try:
        yield
    except VerificationError as error:
        raise type(error)(f"{reader.label}: {error.message}", hint=error.hint) from error


async def count_contents(
    reader: SnapshotReader, *, depth: int = 0, prefix: str = ""
) -> tuple[Snapshot, Contents]:
    """Verify a snapshot, and count its entries.

    Arguments:
        reader: The snapshot.
        depth: Number of key parts to group by, in addition; 0: none.
        prefix: Group by depth only keys with this prefix.

    Raises:
        VerificationError: It is not whole.
        AgentError: It could not be read.
    """
    counted: list[Contents] = []

    def begin() -> ArchiveVerifier:
        counted.append(Contents(depth, prefix))
        return ArchiveVerifier(entries=CountedEntries(counted[-1]))

    with naming(reader):
        snapshot = await examine(reader, begin)
    return snapshot, counted[-1]


async def compare_with_fallback(
    before: SnapshotReader, after: SnapshotReader, tell: Tell = ignore
) -> Difference:
    """Compare two snapshots; if that fails, compare whole copies of them.

    Which copies are whole is asked only then: it takes another reading of both.

    Arguments:
        before: The first snapshot.
        after: The second one.
        tell: Called with a warning for each copy that cannot be used.

    Raises:
        VerificationError: No storage has a whole copy of one of them.
        AgentError: One could not be read.
    """
    try:
        return await find_difference(before, after)
    except (VerificationError, StorageError):
        old, new = before.again(), after.again()
        if old is None or new is None:
            raise
    old, _ = await read_whole_copy(old, _examine_named, tell)
    new, _ = await read_whole_copy(new, _examine_named, tell)
    return await find_difference(old, new)


async def _examine_named(reader: SnapshotReader) -> Snapshot:
    with naming(reader):
        return await examine(reader)


async def find_difference(before: SnapshotReader, after: SnapshotReader) -> Difference:
    """Compare two snapshots while reading each once, and verify both.

    Raises:
        VerificationError: One is not whole.
        AgentError: One could not be read.
    """
    difference = Difference()
    old, new = _Stream(before, difference.before), _Stream(after, difference.after)
    async with aclosing(old), aclosing(new):
        while not (old.is_done and new.is_done):
            await old.fill()
            await new.fill()
            await in_thread(difference.compare)
    return difference


class _Stream:
    """One of two snapshots to compare."""

    def __init__(self, reader: SnapshotReader, side: Side) -> None:
        self._reader, self._side = reader, side
        self._pieces = cast("AsyncGenerator[bytes]", reader.read())
        self._entries = EntryReader(marks=True)
        self._verifier = ArchiveVerifier(entries=self._entries)

    @property
    def is_done(self) -> bool:
        return self._side.ended and self._side.is_empty

    async def fill(self) -> None:
        """Read until there is an entry to compare, or the end."""
        with naming(self._reader):
            while self._side.is_empty and not self._side.ended:
                piece = await anext(self._pieces, None)
                if piece is None:
                    snapshot = self._verifier.finish()
                    compare(snapshot, await self._reader.expected())
                    self._side.ended = True
                else:
                    await in_thread(partial(self._feed, piece))

    def _feed(self, piece: bytes) -> None:
        self._verifier.feed(piece)
        self._side.add(self._entries.take())

    async def aclose(self) -> None:
        await self._pieces.aclose()
