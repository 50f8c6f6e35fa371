"""What one storage gets of a run: the snapshot, its manifest, and what retention takes away."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.naming import Naming, Run, manifest_name
from raft_snapshot_agent.core.report import Delivery
from raft_snapshot_agent.core.snapshot import Beside, Instant, Manifest, Snapshot
from raft_snapshot_agent.errors import LeaseLost, LoginRefused, StorageDenied, StorageError
from raft_snapshot_agent.fence import Fenced
from raft_snapshot_agent.guarding import History
from raft_snapshot_agent.intake import as_failure
from raft_snapshot_agent.lease.keeper import Tenure
from raft_snapshot_agent.place import Place
from raft_snapshot_agent.spool import Spool
from raft_snapshot_agent.storage.base import Content, Source
from raft_snapshot_agent.storage.listed import missing_from_list
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.uptime import instant
from raft_snapshot_agent.vault.leader import Leader

_LOOK_WITHIN = 30.0
"""Seconds that a storage gets to tell what it holds."""


@dataclass(frozen=True, slots=True)
class Consignment:
    """One snapshot on its way."""

    run: Run
    naming: Naming
    leader: Leader
    spool: Spool
    clock: Callable[[], datetime]
    tenure: Tenure | None = None
    """Of the lease, where there is one; what was begun in it ends with it."""
    began: Instant = field(default_factory=instant)
    """Before the server was asked."""

    @property
    def source(self) -> Source:
        return self.spool if self.tenure is None else Fenced(self.spool, self.tenure)

    async def name_for(self, place: Place) -> str:
        meta = await in_thread(self.spool.meta)
        return place.static_name or self.naming.name(self.run, meta.index)

    def manifest(self, name: str, snapshot: Snapshot, seconds: float) -> Manifest:
        return Manifest(
            snapshot=name,
            taken_at=self.run.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            index=snapshot.meta.index,
            term=snapshot.meta.term,
            size=snapshot.size,
            sha256=snapshot.sha256,
            duration=round(seconds, 3),
            cluster_id=self.leader.identity.cluster_id,
            cluster_name=self.leader.identity.cluster_name,
            product=self.leader.identity.product,
            version=self.leader.identity.version,
            node=self.leader.node.address,
            agent_version=__version__,
            clock=self.began.clock,
            began=self.began.seconds,
            ended=instant().seconds,
            leading_since=self.leader.active_since,
        )


async def deliver(place: Place, consignment: Consignment, trouble: str) -> Delivery:
    """Store a snapshot in one place, and let its retention see to the others there.

    What fails is in the delivery; nothing is raised.

    Arguments:
        place: The storage.
        consignment: The snapshot, following the spool while it grows.
        trouble: What went wrong there before, without harm.
    """
    started = time.monotonic()
    warnings = (trouble,) if trouble else ()
    delivery = Delivery(place.name, place.storage.kind, warnings=warnings, required=place.required)
    try:
        name = await consignment.name_for(place)
        before = await _looked(place, consignment) if place.replaces else None
        if place.replaces:
            await _forget_old(place, name, consignment.spool)
        size = await place.storage.put(name, consignment.source)
        snapshot = consignment.spool.verdict()
        await _confirm(place, name, size, snapshot)
        await _still_ours(place, name, consignment)
        seconds = time.monotonic() - started
        location = place.storage.location(name)
        delivery = replace(delivery, location=location, seconds=seconds)
        if not place.with_manifest:
            return delivery
        if place.prunes and (doubt := await missing_from_list(place.storage, name, size)):
            delivery = replace(delivery, warnings=(*delivery.warnings, doubt))
        manifest = consignment.manifest(name, snapshot, seconds)
        return await _vouched(place, manifest, before, delivery, consignment)
    except Exception as error:  # noqa: BLE001 - one storage never costs another its snapshot
        return replace(delivery, location="", warnings=(), error=as_failure(error))


async def _vouched(
    place: Place,
    manifest: Manifest,
    before: History | StorageError | None,
    delivery: Delivery,
    consignment: Consignment,
) -> Delivery:
    """Hold the snapshot against the one before, write its manifest, and prune."""
    if not place.replaces:
        before = await _looked(place, consignment)
    if isinstance(before, StorageError) and not place.replaces and not place.retention.keeps_all:
        # With a manifest it would be what the next one is held against.
        why = f"the snapshot is stored without a manifest, and nothing is pruned: {before}"
        return replace(delivery, warnings=(*delivery.warnings, why))
    known = None if isinstance(before, StorageError) else before
    watched = await place.watch(known, manifest)
    name = manifest_name(manifest.snapshot)
    await place.storage.put(name, Content(watched.manifest.to_json()))
    warnings = (*delivery.warnings, *watched.warnings, *filter(None, [watched.unsettled]))
    delivery = replace(delivery, alarm=watched.alarm, warnings=warnings)
    return await _retained(place, delivery, consignment.clock) if watched.may_prune else delivery


async def _looked(place: Place, consignment: Consignment) -> History | StorageError | None:
    """Read what is stored already; nothing where there is none, or where nothing can be deleted.

    Returns:
        The error, where it is not known what the storage holds.
    """
    try:
        with anyio.fail_after(_LOOK_WITHIN):
            return await place.history(consignment.began, consignment.run.taken_at)
    except LoginRefused as error:
        return error
    except StorageDenied:
        return None  # who may not list cannot prune
    except TimeoutError:
        return StorageError(f"{place.name} did not tell within {_LOOK_WITHIN:g} s what it holds")
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        found = as_failure(error)
        return StorageError(found.message, hint=found.hint)


async def _retained(place: Place, delivery: Delivery, clock: Callable[[], datetime]) -> Delivery:
    if place.static_name is not None or place.retention.keeps_all or not place.prunes:
        return delivery
    try:
        pruned = await place.prune(clock())
    except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        why = f"old snapshots are not pruned: {as_failure(error)}"
        return replace(delivery, warnings=(*delivery.warnings, why))
    warnings = (*delivery.warnings, *pruned.warnings)
    return replace(
        delivery,
        deleted=pruned.deleted,
        warnings=warnings,
        counts=pruned.counts,
        alarm=pruned.alarm,
    )


async def _forget_old(place: Place, name: str, spool: Spool) -> None:
    """Drop what lies beside a snapshot about to be replaced: it would not describe the new one."""
    await in_thread(spool.verdict)
    for beside in (Beside.MANIFEST, Beside.BROKEN, Beside.MISMATCH):
        with suppress(StorageError):
            await place.storage.delete(beside.name_for(name))


async def _still_ours(place: Place, name: str, consignment: Consignment) -> None:
    """Let the lease decide whether it counts; whoever took the lease meanwhile takes another.

    Raises:
        LeaseLost: It does not, and was withdrawn.
        AgentError: Nobody knows; it stays without a manifest.
    """
    if consignment.tenure is None:
        return
    try:
        await consignment.tenure.confirm(place.name, consignment.run.taken_at)
    except LeaseLost:
        if not place.replaces:  # else the other's may have that name by now
            with suppress(StorageError):
                await place.storage.delete(name)
        raise


async def _confirm(place: Place, name: str, size: int, snapshot: Snapshot) -> None:
    """Compare what the storage says it holds with what was verified."""
    if size == snapshot.size:
        return
    with suppress(StorageError):
        await place.storage.delete(name)
    raise StorageError(
        f"{place.storage.location(name)} holds {size} bytes, not the {snapshot.size} sent",
        hint="it is not counted and was deleted where allowed; look at the storage's own log",
    )
