"""Creates and removes spools in threads, as a disk may be slow, and those of crashed agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from anyio import move_on_after

from raft_snapshot_agent.flock import remove_if_abandoned
from raft_snapshot_agent.private_folder import private_folder
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import PREFIX, SUFFIX, Spool

_REMOVED_WITHIN = 10.0
"""Seconds after which its removal is no longer waited for."""


@asynccontextmanager
async def open_spool(folder: Path, run_id: str) -> AsyncIterator[Spool]:
    """Create a spool, and remove it when the context ends.

    Arguments:
        folder: The folder of spools.
        run_id: Distinguishes it from others in the folder.

    Raises:
        SpoolError: The folder does not exist or cannot be written.
    """
    create = partial(Spool.create, folder, run_id)
    spool = await in_thread(create, abandon=True, discard=Spool.close, patience=_REMOVED_WITHIN)
    try:
        yield spool
    finally:
        with move_on_after(_REMOVED_WITHIN, shield=True):
            await in_thread(spool.close, abandon=True)


def sweep(folder: Path, beginning: str = "") -> frozenset[str]:
    """Remove the spools of crashed agents; return their run IDs.

    Arguments:
        folder: The folder of spools.
        beginning: How the run IDs of those to remove begin.
    """
    dead = set()
    with suppress(OSError):  # a remaining problem is reported when the next spool is created
        for path in private_folder(folder).glob(f"{PREFIX}{beginning}*{SUFFIX}"):
            with suppress(OSError):
                if remove_if_abandoned(path):
                    dead.add(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))
    return frozenset(dead)
