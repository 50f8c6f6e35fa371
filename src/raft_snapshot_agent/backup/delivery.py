"""What one storage gets of a run: the snapshot, whole and confirmed, or nothing."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from raft_snapshot_agent.backup.lookup import is_there, read_history
from raft_snapshot_agent.backup.run_context import RunContext
from raft_snapshot_agent.core.report import StorageResult
from raft_snapshot_agent.core.snapshot import Manifest, Sidecar, Snapshot
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import History
from raft_snapshot_agent.errors import AgentError, LeaseLost, StorageError, Unconfirmed
from raft_snapshot_agent.observe.phases import phase
from raft_snapshot_agent.observe.trace import as_failure
from raft_snapshot_agent.storage.wrappers.listing import Look, look_for
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool


async def deliver(destination: Destination, context: RunContext, trouble: str) -> StorageResult:
    """Store a snapshot in one place, and let its retention see to the others there.

    What fails is in the delivery; nothing is raised. Once the snapshot is stored, only warnings
    follow: a failure would have it taken again.

    Arguments:
        destination: The storage.
        context: The snapshot, following the spool while it grows.
        trouble: What went wrong there before, without harm.
    """
    started = time.monotonic()
    warnings = (trouble,) if trouble else ()
    delivery = StorageResult(
        destination.name, destination.storage.kind, warnings=warnings, required=destination.required
    )
    try:
        name = await context.name_for(destination)
        location = destination.storage.location(name)
        when = context.began, context.run.taken_at
        before = await read_history(destination, *when) if destination.replaces else None
        with phase("upload", destination.name):
            manifest, doubt = await _store(destination, name, context, started)
    except Exception as error:  # noqa: BLE001 - one storage never costs another its snapshot
        return replace(delivery, warnings=(), error=as_failure(error))
    seconds = time.monotonic() - started
    told = (*delivery.warnings, *doubt)
    delivery = replace(delivery, location=location, seconds=seconds, warnings=told)
    if not destination.with_manifest:
        return delivery
    with phase("finish", destination.name):
        return await _finish(destination, context, manifest, before, delivery)


async def _finish(
    destination: Destination,
    context: RunContext,
    manifest: Manifest,
    before: History | StorageError | None,
    delivery: StorageResult,
) -> StorageResult:
    """Write the manifest of what is stored, and let retention see to the others there."""
    # A file that is no storage is compared with nothing, and nothing is pruned there.
    from raft_snapshot_agent.backup.finish import finish

    name, look = manifest.snapshot, Look()
    if destination.prunes:
        look = await look_for(destination.storage, name, manifest.size)
    if look.warning:
        delivery = replace(delivery, warnings=(*delivery.warnings, look.warning))
    if not destination.replaces:
        when = context.began, context.run.taken_at
        before = await read_history(destination, *when, look.sizes)
    unsettled, clock = context.unsettled, context.clock
    return await finish(destination, manifest, before, delivery, unsettled, clock)


async def _store(
    destination: Destination, name: str, context: RunContext, started: float
) -> tuple[Manifest, tuple[str, ...]]:
    """Store the snapshot; what fails after it was sent leaves it in doubt.

    Returns:
        Its manifest, and what went wrong although it is there.
    """
    reused = destination.name in context.reused
    if destination.replaces or reused:
        await _forget_old(destination, name, context.spool)
    size, failure = 0, None
    try:
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
        reused  # what is there may be another's of the same length
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
    return (f"it holds the snapshot, but reported a failure: {as_failure(failure)}",)


async def _forget_old(destination: Destination, name: str, spool: Spool) -> None:
    """Drop what lies beside a snapshot about to be replaced: it would not describe the new one."""
    await in_thread(spool.verdict)
    for beside in (Sidecar.MANIFEST, Sidecar.BROKEN, Sidecar.DRILL):
        with suppress(StorageError):
            await destination.storage.delete(beside.name_for(name))


async def _confirm_lease(destination: Destination, name: str, context: RunContext) -> None:
    """Let the lease decide whether it counts; whoever took the lease meanwhile takes another.

    Raises:
        LeaseLost: It does not, and was withdrawn.
        Unconfirmed: Nobody knows; it stays without a manifest.
    """
    if context.held_lease is None:
        return
    try:
        await context.held_lease.confirm(destination.name, context.run.taken_at)
    except LeaseLost:
        if not destination.replaces:  # else the other's may have that name by now
            with suppress(StorageError):
                await destination.storage.delete(name)
        raise
    except AgentError as error:
        raise Unconfirmed(error.message, hint=error.hint) from error


async def _compare_size(destination: Destination, name: str, size: int, snapshot: Snapshot) -> None:
    """Compare what the storage says it holds with what was verified."""
    if size == snapshot.size:
        return
    with suppress(StorageError):
        await destination.storage.delete(name)
    raise StorageError(
        f"{destination.storage.location(name)} holds {size} bytes, not the {snapshot.size} sent",
        hint="it is not counted and was deleted where allowed; check the storage's own log",
    )
