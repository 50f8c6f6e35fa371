"""The straight line: stream, spool, verify, store everywhere at once, manifest, retention."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.guard import Alarm
from raft_snapshot_agent.core.naming import Naming, Run, manifest_name
from raft_snapshot_agent.core.report import Delivery, Outcome, Report
from raft_snapshot_agent.core.snapshot import Manifest, Snapshot
from raft_snapshot_agent.errors import AgentError, StorageError
from raft_snapshot_agent.intake import Download, as_failure, stop_when_cancelled, verify
from raft_snapshot_agent.place import Place, Pruned
from raft_snapshot_agent.spool import Spool, sweep
from raft_snapshot_agent.storage.base import Content
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster, Leader

__all__ = ["Agent", "Place", "Pruned"]

_LEAVE_WITHIN = 3.0
"""Seconds to wait for the server to revoke a token."""
_SWEEP_WITHIN = 10.0
_LIST_WITHIN = 30.0
"""Seconds that a storage gets to be swept and listed; one that hangs must hold up nobody."""


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
        self._dead: frozenset[str] = frozenset()
        """Runs that may have left something somewhere."""
        self._filling: Spool | None = None

    async def run_once(self, names: Collection[str] | None = None) -> Report:
        """Take one snapshot and store it everywhere, or in the storages of these names.

        What fails is in the report; nothing is raised.
        """
        places = [place for place in self.places if names is None or place.name in names]
        run = self._naming.run(started := self._clock(), secrets.token_hex(8))
        report = Report(run.id, started, started)
        try:
            self._dead |= await self._sweep_spools()
            leader = await in_thread(self._find, abandon=True)
            report = replace(report, node=leader.node.address)
            with Spool.create(self._spool, run.id) as spool:
                self._filling = spool
                report = await self._store(run, leader, spool, report, places)
        except AgentError as error:
            report = replace(report, error=error)
        if report.outcome is Outcome.OK and not any(one.error for one in report.deliveries):
            self._dead = frozenset()
        elif report.outcome is not Outcome.SKIPPED:
            self._dead |= {run.id}
        return replace(report, finished_at=self._clock())

    @property
    def received(self) -> int:
        """Bytes of the present snapshot, or the last, that have arrived so far."""
        return 0 if self._filling is None else self._filling.received

    async def run_and_leave(self) -> Report:
        """Take one snapshot and end the token, however that went."""
        try:
            return await self.run_once()
        finally:
            await self.leave()

    async def leave(self) -> None:
        """End the token this agent made; nobody waits long for that."""
        with anyio.move_on_after(_LEAVE_WITHIN, shield=True), suppress(AgentError):
            await in_thread(self.cluster.revoke_token, abandon=True)

    async def sweep(self) -> dict[str, str]:
        """Remove what crashed runs left behind.

        Returns:
            The storages where that was not possible, and why.
        """
        self._dead |= await self._sweep_spools()
        troubles: dict[str, str] = {}

        async def tidied(place: Place) -> None:
            if trouble := await self._tidy(place):
                troubles[place.name] = trouble

        async with anyio.create_task_group() as tasks:
            for place in self.places:
                tasks.start_soon(tidied, place)
        return troubles

    async def taken(self) -> dict[str, list[datetime]]:
        """Say when the snapshots that each storage holds were taken.

        A storage that cannot be listed is left out.
        """
        times: dict[str, list[datetime]] = {}

        async def listed(place: Place) -> None:
            # Where that fails, its delivery will tell.
            with anyio.move_on_after(_LIST_WITHIN), suppress(Exception):
                whole = (one for one in await place.stored() if not one.broken)
                times[place.name] = [one.taken_at for one in whole]

        async with anyio.create_task_group() as tasks:
            for place in self.places:
                tasks.start_soon(listed, place)
        return times

    async def prune(self, place: Place, *, dry_run: bool = False) -> Pruned:
        """Delete what a storage is no longer to keep.

        Raises:
            StorageError: It could not be listed.
        """
        return await place.prune(self._clock(), dry_run=dry_run)

    async def _sweep_spools(self) -> frozenset[str]:
        return await in_thread(lambda: sweep(self._spool))

    async def _tidy(self, place: Place) -> str:
        """Remove what dead runs left in a storage; say why that is not possible."""
        try:
            with anyio.fail_after(_SWEEP_WITHIN):
                await place.sweep(self._dead)
        except TimeoutError:
            return f"leftovers are not removed: no answer within {_SWEEP_WITHIN:g} s"
        except Exception as error:  # noqa: BLE001 - it must not cost a snapshot
            return f"leftovers are not removed: {as_failure(error)}"
        return ""

    async def _store(
        self, run: Run, leader: Leader, spool: Spool, report: Report, places: Sequence[Place]
    ) -> Report:
        download = Download(self.cluster, leader, spool, self._deadline)
        deliveries: dict[str, Delivery] = {}

        async def deliver(place: Place) -> None:
            deliveries[place.name] = await self._deliver(place, run, leader, spool)

        async with anyio.create_task_group() as watch:
            watch.start_soon(stop_when_cancelled, download)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(download.run)
                tasks.start_soon(
                    partial(
                        verify,
                        spool,
                        committed_index=leader.committed_index,
                        digest=any(place.with_manifest for place in places),
                    )
                )
                for place in places:
                    tasks.start_soon(deliver, place)
            watch.cancel_scope.cancel()
        if spool.error is not None:
            return replace(report, error=spool.error)
        ordered = tuple(deliveries[place.name] for place in places)
        return replace(report, snapshot=spool.verdict(), deliveries=ordered)

    async def _deliver(self, place: Place, run: Run, leader: Leader, spool: Spool) -> Delivery:
        started = time.monotonic()
        delivery = Delivery(place.name, place.storage.kind, required=place.required)
        trouble = await self._tidy(place)
        before = await _before(place)
        alarm: Alarm | None = None
        try:
            name = await self._name(place, run, spool)
            if place.static_name is not None and place.with_manifest:
                await _forget_old(place, name, spool)
            size = await place.storage.put(name, spool)
            snapshot = spool.verdict()
            await _confirm(place, name, size, snapshot)
            seconds = time.monotonic() - started
            if place.with_manifest:
                manifest = _manifest(name, run, leader, snapshot, seconds)
                alarm = await place.watch(before, manifest)
                await place.storage.put(manifest_name(name), Content(manifest.to_json()))
            location = place.storage.location(name)
        except Exception as error:  # noqa: BLE001 - one storage never costs another its snapshot
            return replace(delivery, error=as_failure(error))
        warnings = (trouble,) if trouble else ()
        delivery = replace(delivery, location=location, seconds=seconds, warnings=warnings)
        if alarm is not None:
            return replace(delivery, alarm=str(alarm))
        return await self._retain(place, delivery)

    async def _name(self, place: Place, run: Run, spool: Spool) -> str:
        meta = await in_thread(spool.meta)
        return place.static_name or self._naming.name(run, meta.index)

    async def _retain(self, place: Place, delivery: Delivery) -> Delivery:
        if place.static_name is not None or place.retention.keeps_all or not place.prunes:
            return delivery
        try:
            pruned = await self.prune(place)
        except Exception as error:  # noqa: BLE001 - the snapshot is safe, whatever happens here
            why = f"old snapshots are not pruned: {as_failure(error)}"
            return replace(delivery, warnings=(*delivery.warnings, why))
        warnings = (*delivery.warnings, *pruned.warnings)
        return replace(delivery, deleted=pruned.deleted, warnings=warnings)


async def _before(place: Place) -> Manifest | None:
    """Read the manifest of what is the newest before this run; where that fails, of nothing."""
    # It only decides whether old ones are pruned; where it fails, that will fail and tell.
    with anyio.move_on_after(_LIST_WITHIN), suppress(Exception):
        return await place.newest() if place.with_manifest else None
    return None


async def _forget_old(place: Place, name: str, spool: Spool) -> None:
    """Drop the manifest of what is about to be replaced: it would not describe the new one."""
    await in_thread(spool.verdict)
    with suppress(StorageError):
        await place.storage.delete(manifest_name(name))


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
