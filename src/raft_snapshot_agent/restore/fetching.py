"""Copy a stored snapshot to the local disk, verified."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent.core.snapshot_file.clear_parts import ClearParts, ClearReader
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot
from raft_snapshot_agent.destination.verification import Reading, SnapshotState, compare
from raft_snapshot_agent.errors import (
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.copies import Tell, ignore, read_whole_copy
from raft_snapshot_agent.restore.examine import examine, naming
from raft_snapshot_agent.restore.reader import SnapshotReader, pour
from raft_snapshot_agent.servers.throw_away import sweep_throw_away_folders
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.download import verify
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import open_spool, sweep

_COPY = "copy-"
"""How the names of spools begin that are of no run."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified snapshot on the local disk."""

    reader: SnapshotReader
    """The copy that was read."""
    spool: Spool
    snapshot: Snapshot
    manifest: Manifest | None
    clear: ClearParts

    @property
    def version(self) -> str:
        """The server version it was taken from; empty if unknown."""
        return (self.manifest.version if self.manifest else "") or self.clear.version


@asynccontextmanager
async def fetch_copy(
    reader: SnapshotReader,
    folder: Path,
    begun: Callable[[Spool], None] = ignore,
    tell: Tell = ignore,
) -> AsyncIterator[Fetched]:
    """Copy a snapshot to the local disk and verify it, from the first storage with a whole copy.

    Arguments:
        reader: The snapshot.
        folder: The folder of the copy, which is removed when the context ends.
        begun: Called when a copy begins.
        tell: Called with a warning for each copy that cannot be used.

    Raises:
        VerificationError: It is not intact, or not the one that its manifest describes.
        AgentError: It could not be read.
    """

    async def create() -> Spool:
        await spools.aclose()
        copy = open_spool(folder, f"{_COPY}{secrets.token_hex(8)}")
        spool = await spools.enter_async_context(copy)
        begun(spool)
        return spool

    await in_thread(partial(_make_room, folder))
    async with AsyncExitStack() as spools:
        _, got = await read_whole_copy(reader, partial(_fetch, create=create), tell)
        yield got


def _make_room(folder: Path) -> None:
    """Remove what killed drills and restores left: perhaps no run ever begins on this host.

    The spool of a run stays for the next run, which removes its unfinished uploads, too.
    """
    sweep_throw_away_folders(folder)
    sweep(folder, _COPY)


async def _fetch(reader: SnapshotReader, *, create: Callable[[], Awaitable[Spool]]) -> Fetched:
    """Copy it; if it does not look intact, verify it twice, and copy it again if it is."""
    with naming(reader):
        try:
            return await _copy_and_verify(reader, await create())
        except (VerificationError, StorageError):
            if (again := reader.again()) is None:
                raise
        await examine(reader)
        return await _copy_and_verify(again, await create())


async def _copy_and_verify(reader: SnapshotReader, spool: Spool) -> Fetched:
    clear = ClearReader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pour, reader, spool)
        tasks.start_soon(partial(verify, spool, entries=clear))
    snapshot = spool.verdict()
    expected = await reader.expected()
    compare(snapshot, expected)
    reader.confirm(snapshot)
    with suppress(StorageError):  # the storage may be read-only
        await reader.remember(Reading(SnapshotState.WHOLE, snapshot))
    return Fetched(reader, spool, snapshot, expected.manifest, clear.parts)
