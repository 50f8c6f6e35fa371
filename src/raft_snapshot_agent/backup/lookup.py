"""Look up the content of a storage, with a time limit and without raising."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import anyio

from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Instant, Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import History
from raft_snapshot_agent.errors import LoginRefused, StorageDenied, StorageError
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.storage.base import sizes_of

_LOOK_WITHIN = 30.0
"""Maximum seconds to list a storage."""


async def is_there(destination: Destination, manifest: Manifest) -> bool | None:
    """Return whether a storage has a snapshot in full length.

    Returns:
        `None` if it is unknown: the storage cannot be listed, or lists another length.
    """
    if destination.is_write_only or (sizes := await _list_sizes(destination)) is None:
        return None
    if manifest.snapshot not in sizes:
        return False
    return True if sizes[manifest.snapshot] == manifest.size else None


async def _list_sizes(destination: Destination) -> Mapping[str, int] | None:
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            return await sizes_of(destination.storage)
    except Exception:  # noqa: BLE001 - the failure that led here is the one to tell
        return None


async def read_history(
    destination: Destination,
    began: Instant,
    taken_at: datetime,
    sizes: Mapping[str, int] | None = None,
) -> History | StorageError | None:
    """Read what a new snapshot is compared with; `None` if nothing can be deleted.

    Arguments:
        destination: The storage.
        began: Monotonic time just before the new snapshot was requested.
        taken_at: The same by the wall clock.
        sizes: Its listing, if it was just read.

    Returns:
        The error if the content of the storage could not be read.
    """
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            return await destination.history(began, taken_at, sizes)
    except LoginRefused as error:
        return error
    except StorageDenied:
        return None  # without the permission to list nothing is pruned
    except TimeoutError:
        return StorageError(f"cannot list {destination.name}: no answer within {_LOOK_WITHIN:g} s")
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        found = as_failure(error)
        return StorageError(found.message, hint=found.hint)


async def read_history_before(
    destination: Destination, manifest: Manifest
) -> History | StorageError | None:
    """Read what an earlier snapshot is compared with, as of the time in its manifest."""
    taken_at = moment(manifest.taken_at) or NO_TIME
    return await read_history(destination, Instant(manifest.clock, manifest.began), taken_at)
