"""What a storage holds beside a new snapshot: asked with a time limit; nothing is raised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import anyio

from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import History
from raft_snapshot_agent.errors import LoginRefused, StorageDenied, StorageError
from raft_snapshot_agent.observe.trace import as_failure
from raft_snapshot_agent.storage.base import sizes_of

_LOOK_WITHIN = 30.0
"""Seconds that a storage gets to list what it holds."""
_EPOCH = datetime.min.replace(tzinfo=UTC)


async def is_there(destination: Destination, manifest: Manifest) -> bool | None:
    """Look whether a storage holds a snapshot in full length.

    Returns:
        Nothing where that cannot be known: it cannot be listed, or lists another length.
    """
    if not destination.prunes:
        return None
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            sizes = await sizes_of(destination.storage)
    except Exception:  # noqa: BLE001 - the failure that led here is the one to tell
        return None
    if manifest.snapshot not in sizes:
        return False
    return True if sizes[manifest.snapshot] == manifest.size else None


async def read_history(
    destination: Destination,
    began: Instant,
    taken_at: datetime,
    sizes: Mapping[str, int] | None = None,
) -> History | StorageError | None:
    """Read what a new snapshot is compared with; nothing where nothing can be deleted.

    Arguments:
        destination: The storage.
        began: Just before the server was asked for the new one.
        taken_at: The same by the wall clock.
        sizes: What it lists, where that was just asked for.

    Returns:
        The error, where it is not known what the storage holds.
    """
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            return await destination.history(began, taken_at, sizes)
    except LoginRefused as error:
        return error
    except StorageDenied:
        return None  # who may not list cannot prune
    except TimeoutError:
        return StorageError(
            f"{destination.name} could not be listed: no answer within {_LOOK_WITHIN:g} s"
        )
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        found = as_failure(error)
        return StorageError(found.message, hint=found.hint)


async def read_history_before(
    destination: Destination, manifest: Manifest
) -> History | StorageError | None:
    """Read what a snapshot is compared with that was stored earlier: its manifest tells when."""
    taken_at = moment(manifest.taken_at) or _EPOCH
    return await read_history(destination, Instant(manifest.clock, manifest.began), taken_at)
