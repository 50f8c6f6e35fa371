"""The steps after a snapshot is stored: guard, manifest, retention. None of them undoes that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import anyio

from raft_snapshot_agent.backup.lookup import read_history_before
from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import History
from raft_snapshot_agent.destination.listing import Listing, static
from raft_snapshot_agent.errors import AgentError, StorageError, StorageFull
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.threads import beside_loop

_NOTE_WITHIN = 60.0
"""Maximum seconds to write a manifest or the guard's note."""
_PRUNE_WITHIN = 600.0
"""Maximum seconds to prune; the next run continues."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """The result of comparing a snapshot and writing its manifest."""

    delivery: Delivery
    may_prune: bool
    written: int = 0
    """Size of the manifest in bytes; 0: it could not be stored."""


@dataclass(frozen=True, slots=True)
class Room:
    """What retention did in a full storage."""

    deleted: tuple[str, ...] = ()
    """Names of the deleted snapshots."""
    obstacle: str = ""
    """Why no more were deleted; empty if the rules keep all that is left."""

    def explain(self, full: StorageFull) -> StorageFull:
        """Return the error of the full storage, with why retention makes no room there."""
        if not self.obstacle:
            return full
        why = f"retention makes no room: {self.obstacle}"
        return StorageFull(full.message, hint=f"{full.hint}; {why}" if full.hint else why)


async def finish(
    destination: Destination,
    manifest: Manifest,
    before: History | StorageError | None,
    delivery: Delivery,
    unsettled: Unsettled,
    clock: Callable[[], datetime],
) -> Delivery:
    """Compare with the previous snapshot, write the manifest, and prune.

    Failures are warnings of the delivery: the snapshot is stored, and no other is taken instead.

    Arguments:
        destination: The storage.
        manifest: The manifest of the new snapshot.
        before: The earlier content of the storage; an error: it is not known.
        delivery: The result so far.
        unsettled: Snapshots whose state is not known yet.
        clock: Returns the present time.
    """
    if (
        isinstance(before, StorageError)
        and not destination.replaces
        and not destination.retention.keeps_all
    ):
        # With a manifest it would become the reference for the next snapshot.
        unsettled.unvouched[destination.name].append(manifest)
        why = f"the snapshot is stored without a manifest, and nothing is pruned: {before}"
        return _add_warnings(delivery, why)
    waiting = unsettled.unvouched.pop(destination.name, [])
    for each in waiting:
        earlier = await read_history_before(destination, each)
        delivery = (await _compare(destination, each, earlier, delivery)).delivery
    if waiting:
        before = await read_history_before(destination, manifest)
    done = await _compare(destination, manifest, before, delivery)
    found = before.listing if isinstance(before, History) else None
    listing = _list_after(destination, found, manifest, done.written)
    delivery = done.delivery
    if done.may_prune:
        delivery = await _prune(destination, delivery, clock, listing)
    return await _survey(delivery, listing, manifest, clock)


def _list_after(
    destination: Destination, before: Listing | None, manifest: Manifest, written: int
) -> Listing | None:
    """Return the listing with the new snapshot and its manifest; `None` if it is not known."""
    if before is None:
        return None
    if destination.static_name is None:
        return before.with_manifest(manifest, written)
    # The one that was listed has been replaced.
    sizes = {manifest.snapshot: manifest.size}
    stored = static(manifest.snapshot, sizes, manifest if written else None)
    return replace(before, stored=(stored,))


async def _survey(
    delivery: Delivery,
    listing: Listing | None,
    manifest: Manifest,
    clock: Callable[[], datetime],
) -> Delivery:
    """Summarise the content of the storage, if it was listed."""
    if listing is None:
        return delivery
    gone = frozenset(delivery.deleted)

    def found() -> Survey:
        left = [one for one in listing.stored if one.name not in gone]
        return Survey.of(left, clock()).noted(delivery.alarm, manifest.duration)

    return replace(delivery, survey=await beside_loop(found, len(listing.stored)))


async def _compare(
    destination: Destination,
    manifest: Manifest,
    before: History | StorageError | None,
    delivery: Delivery,
) -> _Compared:
    """Make the guard compare a snapshot with earlier ones, and write its manifest."""
    try:
        with anyio.fail_after(_NOTE_WITHIN):
            known = None if isinstance(before, StorageError) else before
            judged = await destination.judge_and_sign(known, manifest)
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        why = f"{manifest.snapshot} is stored without a manifest, and nothing is pruned"
        said = _describe(error, _NOTE_WITHIN)
        return _Compared(_add_warnings(delivery, f"{why}: {said}"), may_prune=False)
    delivery, written = await _write_manifest(destination, judged.manifest, delivery)
    delivery = _add_warnings(delivery, *judged.warnings, *filter(None, [judged.unsettled]))
    delivery = replace(delivery, alarm=judged.alarm or delivery.alarm)
    return _Compared(delivery, judged.may_prune, written)


async def _write_manifest(
    destination: Destination, manifest: Manifest, delivery: Delivery
) -> tuple[Delivery, int]:
    """Write the manifest; a failure is a warning, as the snapshot is stored.

    Returns:
        The delivery, and the number of bytes written.
    """
    name, content = manifest.snapshot, manifest.to_json()
    try:
        with anyio.fail_after(_NOTE_WITHIN):
            await destination.storage.put(manifest_name(name), BytesSource(content))
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        why = f"{name} is stored without a manifest: {_describe(error, _NOTE_WITHIN)}"
        return _add_warnings(delivery, why), 0
    return delivery, len(content)


async def make_room(
    destination: Destination,
    manifest: Manifest,
    unsettled: Unsettled,
    clock: Callable[[], datetime],
) -> Room:
    """Apply retention to a storage that is too full for a verified snapshot.

    What the rules keep without the new snapshot stays, and nothing is deleted that would not be
    after it is stored: the guard must accept it (docs/decisions/0087).

    Arguments:
        destination: The storage.
        manifest: The manifest of the new snapshot.
        unsettled: Snapshots whose state is not known yet.
        clock: Returns the present time.
    """
    if not _is_pruned(destination):
        return Room()
    if unsettled.unvouched.get(destination.name):
        return Room(obstacle="an earlier snapshot has no manifest yet")
    before = await read_history_before(destination, manifest)
    if not isinstance(before, History):
        return Room(obstacle="" if before is None else before.message)
    if before.alarm is not None:
        return Room(obstacle=before.alarm.describe_remedy(destination.cluster))
    if not before.accepts(manifest, destination.losses):
        return Room(obstacle="the new snapshot would raise an alarm")
    delivery = Delivery(destination.name, destination.storage.kind)
    pruned = await _prune(destination, delivery, clock, before.listing)
    return Room(pruned.deleted, "; ".join(pruned.warnings))


def _is_pruned(destination: Destination) -> bool:
    has_history = destination.static_name is None and destination.with_manifest
    return has_history and destination.prunes and not destination.retention.keeps_all


async def _prune(
    destination: Destination,
    delivery: Delivery,
    clock: Callable[[], datetime],
    listing: Listing | None,
) -> Delivery:
    """Delete what retention does not keep."""
    if not _is_pruned(destination):
        return delivery
    try:
        with anyio.fail_after(_PRUNE_WITHIN):
            pruned = await destination.prune(clock(), listing)
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        why = f"old snapshots are not pruned: {_describe(error, _PRUNE_WITHIN)}"
        return _add_warnings(delivery, why)
    deleted = (*delivery.deleted, *pruned.deleted)
    delivery = replace(delivery, deleted=deleted, undeleted=pruned.undeleted, alarm=pruned.alarm)
    return _add_warnings(delivery, *pruned.warnings)


def _add_warnings(delivery: Delivery, *why: str) -> Delivery:
    return replace(delivery, warnings=(*delivery.warnings, *why))


def _describe(error: Exception, within: float) -> AgentError | str:
    if isinstance(error, TimeoutError):
        return f"no answer within {within:g} s"
    return as_failure(error)
