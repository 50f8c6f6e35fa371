"""The straight line: stream, spool, verify, store everywhere at once, manifest, retention."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.naming import Naming, Run, catalogue, manifest_name
from raft_snapshot_agent.core.report import Delivery, Report
from raft_snapshot_agent.core.retention import Plan, Retention, plan
from raft_snapshot_agent.core.snapshot import Manifest, Snapshot, Stored
from raft_snapshot_agent.errors import AgentError, SnapshotNotFound, StorageError
from raft_snapshot_agent.intake import Download, stop_when_cancelled, verify
from raft_snapshot_agent.spool import Spool, sweep
from raft_snapshot_agent.storage.base import Content, Storage
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster, Leader

_LEAVE_WITHIN = 3.0
"""Seconds to wait for the server to revoke a token."""
_REPORT_IT = "this is a defect of the agent: please report it"


@dataclass(frozen=True, slots=True)
class Place:
    """A storage and what it is to keep."""

    name: str
    storage: Storage
    retention: Retention = field(default_factory=Retention)
    static_name: str | None = None
    with_manifest: bool = True

    async def stored(self) -> tuple[Stored, ...]:
        """List the snapshots it holds, newest first."""
        sizes = {entry.name: entry.size for entry in await self.storage.entries()}
        if self.static_name is None:
            return catalogue(sizes.items())
        if self.static_name not in sizes:
            return ()
        manifest = await self.manifest(self.static_name)
        return (_static(self.static_name, sizes[self.static_name], manifest),)

    async def manifest(self, name: str) -> Manifest | None:
        """Read what lies beside a snapshot; nothing where there is none."""
        try:
            chunks = [chunk async for chunk in self.storage.read(manifest_name(name))]
            return Manifest.from_json(b"".join(chunks))
        except (SnapshotNotFound, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention did to one storage."""

    plan: Plan
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Agent:
    """Takes snapshots of one cluster into its storages."""

    def __init__(
        self,
        cluster: Cluster,
        places: Sequence[Place],
        *,
        naming: Naming,
        spool: Path,
        deadline: float,
        find: Callable[[], Leader] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Put the pieces together; nothing is contacted.

        Arguments:
            cluster: Where snapshots come from.
            places: Where they go to.
            naming: How they are called.
            spool: Folder of the local spool.
            deadline: Seconds a whole download may take.
            find: How to find the leader; by default under the configured leader rules.
            clock: Tells the present time.
        """
        self.cluster = cluster
        self.places = places
        self._naming = naming
        self._spool = spool
        self._deadline = deadline
        self._find = find or cluster.leader
        self._clock = clock

    async def run_once(self) -> Report:
        """Take one snapshot and store it everywhere.

        What fails is in the report; nothing is raised.
        """
        run = self._naming.run(started := self._clock(), secrets.token_hex(8))
        report = Report(run.id, started, started)
        try:
            leader = await in_thread(self._find, abandon=True)
            report = replace(report, node=leader.node.address)
            with Spool.create(self._spool, run.id) as spool:
                report = await self._store(run, leader, spool, report)
        except AgentError as error:
            report = replace(report, error=error)
        return replace(report, finished_at=self._clock())

    async def leave(self) -> None:
        """End the token this agent made; nobody waits long for that."""
        with anyio.move_on_after(_LEAVE_WITHIN), suppress(AgentError):
            await in_thread(self.cluster.revoke_token, abandon=True)

    async def sweep(self) -> list[str]:
        """Remove what crashed runs left behind.

        Returns:
            One line for each storage where that was not possible.
        """
        dead = await in_thread(lambda: sweep(self._spool))
        troubles = []
        for place in self.places:
            try:
                await place.storage.sweep(dead)
            except AgentError as error:
                troubles.append(f"{place.name}: {error}")
        return troubles

    async def taken(self) -> list[datetime]:
        """Say when the snapshots that the storages hold were taken."""
        times = []
        for place in self.places:
            try:
                times += [stored.taken_at for stored in await place.stored() if not stored.broken]
            except AgentError:
                continue  # its delivery will tell
        return times

    async def prune(self, place: Place, *, dry_run: bool = False) -> Pruned:
        """Delete what a storage is no longer to keep.

        Raises:
            StorageError: It could not be listed.
        """
        planned = plan(await place.stored(), place.retention, self._clock())
        if dry_run:
            return Pruned(planned)
        deleted, warnings = [], [planned.refused] if planned.refused else []
        for stored in planned.delete:
            try:
                # The manifest first: a crash in between leaves a snapshot, never an orphan.
                if stored.verified:
                    await place.storage.delete(manifest_name(stored.name))
                await place.storage.delete(stored.name)
                deleted.append(stored.name)
            except StorageError as error:
                warnings.append(f"{stored.name} is not deleted: {error}")
        return Pruned(planned, tuple(deleted), tuple(warnings))

    async def _store(self, run: Run, leader: Leader, spool: Spool, report: Report) -> Report:
        download = Download(self.cluster, leader, spool, self._deadline)
        deliveries: dict[str, Delivery] = {}

        async def deliver(place: Place) -> None:
            deliveries[place.name] = await self._deliver(place, run, leader, spool)

        async with anyio.create_task_group() as watch:
            watch.start_soon(stop_when_cancelled, download)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(download.run)
                tasks.start_soon(partial(verify, spool, committed_index=leader.committed_index))
                for place in self.places:
                    tasks.start_soon(deliver, place)
            watch.cancel_scope.cancel()
        if spool.error is not None:
            return replace(report, error=spool.error)
        ordered = tuple(deliveries[place.name] for place in self.places)
        return replace(report, snapshot=spool.verdict(), deliveries=ordered)

    async def _deliver(self, place: Place, run: Run, leader: Leader, spool: Spool) -> Delivery:
        started = time.monotonic()
        delivery = Delivery(place.name, place.storage.kind)
        try:
            name = await self._name(place, run, spool)
            size = await place.storage.put(name, spool)
            snapshot = spool.verdict()
            await _confirm(place, name, size, snapshot)
            seconds = time.monotonic() - started
            if place.with_manifest:
                manifest = _manifest(name, run, leader, snapshot, seconds)
                await place.storage.put(manifest_name(name), Content(manifest.to_json()))
        except AgentError as error:
            return replace(delivery, error=error)
        except Exception as error:  # noqa: BLE001 - one storage never costs another its snapshot
            return replace(delivery, error=StorageError(f"unexpected {error!r}", hint=_REPORT_IT))
        delivery = replace(delivery, location=place.storage.location(name), seconds=seconds)
        return await self._retain(place, delivery)

    async def _name(self, place: Place, run: Run, spool: Spool) -> str:
        meta = await in_thread(spool.meta)
        return place.static_name or self._naming.name(run, meta.index)

    async def _retain(self, place: Place, delivery: Delivery) -> Delivery:
        if place.static_name is not None or place.retention.keeps_all:
            return delivery
        try:
            pruned = await self.prune(place)
        except AgentError as error:
            return replace(delivery, warnings=(f"old snapshots are not pruned: {error}",))
        return replace(delivery, deleted=pruned.deleted, warnings=pruned.warnings)


def _static(name: str, size: int, manifest: Manifest | None) -> Stored:
    """Describe a snapshot whose name tells nothing; without a manifest it counts as ancient."""
    if manifest is None:
        return Stored(name, datetime.min.replace(tzinfo=UTC), size)
    taken_at = datetime.fromisoformat(manifest.taken_at)
    return Stored(name, taken_at, size, manifest.index, verified=True)


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


def _manifest(name: str, run: Run, leader: Leader, snapshot: Snapshot, seconds: float) -> Manifest:
    return Manifest(
        snapshot=name,
        taken_at=run.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        index=snapshot.meta.index,
        term=snapshot.meta.term,
        size=snapshot.size,
        sha256=snapshot.sha256,
        duration=round(seconds, 3),
        cluster_id=leader.identity.cluster_id,
        cluster_name=leader.identity.cluster_name,
        product=leader.identity.product,
        version=leader.identity.version,
        node=leader.node.address,
        agent_version=__version__,
    )
