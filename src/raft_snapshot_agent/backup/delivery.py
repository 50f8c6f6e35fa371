"""Store the snapshot of a run in one storage: verified and confirmed, or not at all."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from raft_snapshot_agent.backup.lookup import is_there, read_history
from raft_snapshot_agent.backup.run_context import RunContext
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar, Snapshot, Stored
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import History
from raft_snapshot_agent.destination.sidecars import replacing
from raft_snapshot_agent.errors import (
    AgentError,
    LeaseLost,
    StorageError,
    StorageFull,
    Unconfirmed,
)
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.phases import phase
from raft_snapshot_agent.storage.wrappers.listing import Look, look_for
from raft_snapshot_agent.threads import in_thread

_OF_THE_OLD = (Sidecar.MANIFEST, Sidecar.BROKEN, Sidecar.MISMATCH, Sidecar.DRILL)
"""What describes a snapshot that is replaced, and not the new one."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A stored snapshot."""

    manifest: Manifest
    before: History | StorageError | None
    """What the storage held before, if its name may have been that of another."""
    warnings: tuple[str, ...]


async def deliver(destination: Destination, context: RunContext, trouble: str) -> Delivery:
    """Store a snapshot in one storage, then apply its retention.

    Failures are in the delivery. Raises nothing. After the snapshot is stored there are only
    warnings, as a failure would cause another snapshot.

    Arguments:
        destination: The storage.
        context: The run; its spool may still be growing.
        trouble: An earlier, harmless failure in this storage.
    """
    started = time.monotonic()
    warnings = (trouble,) if trouble else ()
    delivery = Delivery(
        destination.name, destination.storage.kind, warnings=warnings, required=destination.required
    )
    try:
        name = await context.name_for(destination)
        location = destination.storage.location(name)
        with phase("upload", destination.name):
            try:
                stored = await _attempt(destination, name, context, started)
            except StorageFull as full:
                deleted = await _make_room(destination, name, context, full)
                delivery = replace(delivery, deleted=deleted)
                stored = await _attempt(destination, name, context, started)
    except Exception as error:  # noqa: BLE001 - one storage never costs another its snapshot
        return replace(delivery, warnings=(), error=as_failure(error))
    seconds = time.monotonic() - started
    told = (*delivery.warnings, *stored.warnings)
    delivery = replace(delivery, name=name, location=location, seconds=seconds, warnings=told)
    if not destination.with_manifest:
        return delivery
    with phase("finish", destination.name):
        return await _finish(destination, context, stored, delivery)


async def _finish(
    destination: Destination, context: RunContext, stored: _Attempt, delivery: Delivery
) -> Delivery:
    """Write the manifest of the stored snapshot, and apply retention."""
    # Only storages need it: a file has no earlier snapshots to compare with or to prune.
    from raft_snapshot_agent.backup.finish import finish

    manifest, before, look = stored.manifest, stored.before, Look()
    if not destination.is_write_only:
        look = await look_for(destination.storage, manifest.snapshot, manifest.size)
    if look.warning:
        delivery = replace(delivery, warnings=(*delivery.warnings, look.warning))
    if not destination.replaces:
        when = context.began, context.run.taken_at
        before = await read_history(destination, *when, look.sizes)
    if destination.replaces and not context.may_write():
        why = "the lease was lost since it was stored, and another's snapshot may have its name"
        told = f"{manifest.snapshot} gets no manifest: {why}"
        return replace(delivery, warnings=(*delivery.warnings, told))
    unsettled, clock = context.unsettled, context.clock
    return await finish(destination, manifest, before, delivery, unsettled, clock)


async def _make_room(
    destination: Destination, name: str, context: RunContext, full: StorageFull
) -> tuple[str, ...]:
    """Apply retention to a full storage; return the names of what it deleted.

    Raises:
        StorageFull: It deleted nothing.
    """
    from raft_snapshot_agent.backup.finish import make_room

    snapshot = await in_thread(context.spool.verdict)
    manifest = context.manifest(name, snapshot, 0)
    room = await make_room(destination, manifest, context.unsettled, context.clock)
    if not room.deleted:
        raise room.explain(full) from None
    return room.deleted


async def _attempt(
    destination: Destination, name: str, context: RunContext, started: float
) -> _Attempt:
    """Store the snapshot, unless that would replace a held one."""
    when = context.began, context.run.taken_at
    before = await read_history(destination, *when) if destination.replaces else None
    _refuse_held(before, name, destination.storage.location(name))
    manifest, warnings = await _store(destination, name, context, started)
    return _Attempt(manifest, before, warnings)


def _refuse_held(before: History | StorageError | None, name: str, location: str) -> None:
    """Refuse to replace a snapshot that an operator wants to keep.

    Raises:
        StorageError: It is held.
    """
    old = _find(before, name)
    if old is not None and old.held:
        raise StorageError(
            f"{location} is held, and the new snapshot would replace it",
            hint="try again in a minute, when the new one gets another name; or release this one",
        )


def _find(before: History | StorageError | None, name: str) -> Stored | None:
    """Find a snapshot as it was listed before the upload; `None` if it is not known."""
    listing = before.listing if isinstance(before, History) else None
    return next((one for one in listing.stored if one.name == name), None) if listing else None


async def _store(
    destination: Destination,
    name: str,
    context: RunContext,
    started: float,
) -> tuple[Manifest, tuple[str, ...]]:
    """Store the snapshot; a failure after it was sent leaves its state unknown.

    Returns:
        Its manifest, and the failure that was reported although it is stored.
    """
    reused = destination.name in context.reused
    kinds: tuple[Sidecar, ...] = ()
    if destination.replaces or reused:
        # Before the upload: killed after it, the agent would leave it with another's manifest.
        await in_thread(context.spool.verdict)
        # Beside a file that an operator named, other notes may be files of theirs.
        kinds = _OF_THE_OLD if destination.with_manifest else (Sidecar.MANIFEST,)
    size, failure = 0, None
    try:
        async with replacing(destination.storage, name, kinds, context.may_write):
            size = await destination.storage.put(name, context.source)
    except Exception as error:  # noqa: BLE001 - it may have arrived all the same
        failure = error
    try:
        snapshot = await in_thread(context.spool.verdict)
    except AgentError as error:
        raise failure or error from None
    manifest = context.manifest(name, snapshot, time.monotonic() - started)
    context.unsettled.doubtful[destination.name] = manifest
    if failure is None:
        await _compare_size(destination, name, size, snapshot)
    elif (
        reused  # the object may be another agent's, of the same length
        or destination.static_name is not None
        or destination.replaces
        or isinstance(failure, LeaseLost)
        or not await is_there(destination, manifest)
    ):
        raise failure
    await _confirm_lease(destination, name, context)
    del context.unsettled.doubtful[destination.name]
    return manifest, _warn_of(failure)


def _warn_of(failure: Exception | None) -> tuple[str, ...]:
    if failure is None:
        return ()
    return (f"it has the snapshot, but reported a failure: {as_failure(failure)}",)


async def _confirm_lease(destination: Destination, name: str, context: RunContext) -> None:
    """Confirm the snapshot in the lease record; withdraw it if another agent has the lease.

    Raises:
        LeaseLost: It does not count, and was withdrawn.
        Unconfirmed: The record could not be read; the snapshot stays without a manifest.
    """
    if context.held_lease is None:
        return
    try:
        await context.held_lease.confirm(destination.name, context.run.taken_at)
    except LeaseLost:
        if not destination.replaces:  # else the name may now belong to the other agent's snapshot
            with suppress(StorageError):
                await destination.storage.delete(name)
        raise
    except AgentError as error:
        raise Unconfirmed(error.message, hint=error.hint) from error


async def _compare_size(destination: Destination, name: str, size: int, snapshot: Snapshot) -> None:
    """Compare the size in the storage with the size of the verified snapshot."""
    if size == snapshot.size:
        return
    with suppress(StorageError):
        await destination.storage.delete(name)
    raise StorageError(
        f"{destination.storage.location(name)} holds {size} bytes, not the {snapshot.size} sent",
        hint="it is not counted and was deleted where allowed; check the storage's own log",
    )
