"""What follows once a snapshot is stored: guard, manifest, retention. Nothing of it undoes that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import anyio

from raft_snapshot_agent.core.guard import Alarm
from raft_snapshot_agent.core.naming import manifest_name
from raft_snapshot_agent.core.report import Delivery
from raft_snapshot_agent.core.snapshot import Manifest
from raft_snapshot_agent.errors import (
    AgentError,
    LeaseLost,
    LoginRefused,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.intake import as_failure
from raft_snapshot_agent.lease.keeper import Lease
from raft_snapshot_agent.place import Place
from raft_snapshot_agent.storage.base import Content

_LOOK_WITHIN = 30.0
"""Seconds that a storage gets to tell what it holds."""
_NOTE_WITHIN = 60.0
"""Seconds that a storage gets to take a manifest or the guard's note."""
_PRUNE_WITHIN = 600.0
"""Seconds that a storage gets to delete what is past retention; the next run goes on."""
_EPOCH = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What an agent does not know yet of the snapshots it stored, by storage."""

    doubtful: dict[str, Manifest] = field(default_factory=dict)
    """The one whose upload failed; it may have arrived all the same."""
    unvouched: defaultdict[str, list[Manifest]] = field(
        default_factory=lambda: defaultdict(list[Manifest])
    )
    """Those that are stored without a manifest until the storage can be listed, oldest first."""


async def is_there(place: Place, manifest: Manifest) -> bool | None:
    """Look whether a storage holds a snapshot in full length.

    Returns:
        Nothing where that cannot be known: it cannot be listed, or lists another length.
    """
    if not place.prunes:
        return None
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            sizes = {entry.name: entry.size for entry in await place.storage.entries()}
    except Exception:  # noqa: BLE001 - the failure that led here is the one to tell
        return None
    if manifest.snapshot not in sizes:
        return False
    return True if sizes[manifest.snapshot] == manifest.size else None


async def looked(place: Place) -> Manifest | StorageError | None:
    """Read the newest manifest; nothing where there is none, or where nothing can be deleted.

    Returns:
        The error, where it is not known what the storage holds.
    """
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            return await place.newest()
    except LoginRefused as error:
        return error
    except StorageDenied:
        return None  # who may not list cannot prune
    except TimeoutError:
        return StorageError(f"{place.name} did not tell within {_LOOK_WITHIN:g} s what it holds")
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        found = as_failure(error)
        return StorageError(found.message, hint=found.hint)


async def finish(
    place: Place,
    manifest: Manifest,
    before: Manifest | StorageError | None,
    delivery: Delivery,
    unsettled: Unsettled,
    clock: Callable[[], datetime],
) -> Delivery:
    """Compare with the previous snapshot, write the manifest, and prune.

    What fails is a warning of the delivery: the snapshot is stored, and no other is taken in
    its place.

    Arguments:
        place: The storage.
        manifest: Of the snapshot it holds now.
        before: Of the newest one before it; an error: that is not known.
        delivery: What has come about so far.
        unsettled: What is not known yet, of this and earlier snapshots.
        clock: Tells the present time.
    """
    if isinstance(before, StorageError) and not place.replaces and not place.retention.keeps_all:
        # With a manifest it would be what the next one is compared with.
        unsettled.unvouched[place.name].append(manifest)
        why = f"the snapshot is stored without a manifest, and nothing is pruned: {before}"
        return _warned(delivery, why)
    known = None if isinstance(before, StorageError) else before
    for each in (*unsettled.unvouched.pop(place.name, ()), manifest):
        delivery, trusted = await _vouched(place, each, known, delivery)
        if not trusted:
            return delivery
        known = each
    return await _retained(place, delivery, clock)


async def _vouched(
    place: Place, manifest: Manifest, before: Manifest | None, delivery: Delivery
) -> tuple[Delivery, bool]:
    """Write a manifest; return whether pruning may go on after it."""
    name = manifest.snapshot
    try:
        with anyio.fail_after(_NOTE_WITHIN):
            alarm: Alarm | None = await place.watch(before, manifest)
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        why = f"{name} is stored without a manifest, and nothing is pruned: {_told(error)}"
        return _warned(delivery, why), False
    try:
        with anyio.fail_after(_NOTE_WITHIN):
            await place.storage.put(manifest_name(name), Content(manifest.to_json()))
    except Exception as error:  # noqa: BLE001 - likewise
        why = f"{name} is stored without a manifest: {_told(error)}"
        delivery = _warned(delivery, why)
    if alarm is not None:
        delivery = replace(delivery, alarm=str(alarm))
    return delivery, alarm is None


async def _retained(place: Place, delivery: Delivery, clock: Callable[[], datetime]) -> Delivery:
    if place.static_name is not None or place.retention.keeps_all or not place.prunes:
        return delivery
    try:
        with anyio.fail_after(_PRUNE_WITHIN):
            pruned = await place.prune(clock())
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        return _warned(delivery, f"old snapshots are not pruned: {_told(error)}")
    delivery = replace(delivery, deleted=(*delivery.deleted, *pruned.deleted))
    return _warned(delivery, *pruned.warnings)


async def settle(
    place: Place, unsettled: Unsettled, lease: Lease | None, clock: Callable[[], datetime]
) -> None:
    """Find out about a snapshot whose upload failed, and complete it if it arrived.

    Arguments:
        place: The storage.
        unsettled: Keeps what is still not known.
        lease: Decides whether the snapshot counts, where there is one.
        clock: Tells the present time.
    """
    if (manifest := unsettled.doubtful.get(place.name)) is None or place.replaces:
        return
    there = await is_there(place, manifest)
    if there is False:
        del unsettled.doubtful[place.name]
    if not there or (lease is not None and not await _counts(place, manifest, lease, unsettled)):
        return
    before = await looked(place)
    await finish(place, manifest, before, Delivery(place.name, ""), unsettled, clock)
    del unsettled.doubtful[place.name]


async def _counts(place: Place, manifest: Manifest, lease: Lease, unsettled: Unsettled) -> bool:
    """Enter it in the record of the lease; withdraw it where another agent took another."""
    taken_at = datetime.fromisoformat(manifest.taken_at)
    recorded = lease.stored.get(place.name, _EPOCH)
    try:
        if recorded > taken_at:
            raise lease.lost()
        if recorded < taken_at:
            if lease.tenure is None:
                return False
            await lease.tenure.confirm(place.name, taken_at)
    except LeaseLost:
        with suppress(StorageError):
            await place.storage.delete(manifest.snapshot)
            del unsettled.doubtful[place.name]
        return False
    except AgentError:
        return False
    return True


def _warned(delivery: Delivery, *why: str) -> Delivery:
    return replace(delivery, warnings=(*delivery.warnings, *why))


def _told(error: Exception) -> AgentError | str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_NOTE_WITHIN:g} s"
    return as_failure(error)
