"""One run: a snapshot from the leader to all storages at the same time.

Download, verifier and one delivery per storage run concurrently, and all use one file, the spool.
The deliveries see its end only after the verifier has accepted the snapshot. Until then none
completes, and if verification fails, all of them fail. The rest of a delivery, manifest and
retention, is a sequence; deliveries do not wait for each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from raft_snapshot_agent.backup.delivery import deliver
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter, Permit
from raft_snapshot_agent.backup.run_context import RunContext, Unsettled
from raft_snapshot_agent.backup.spool_folder import SpoolFolder
from raft_snapshot_agent.core.snapshot_file.mount_counts import MountCounter
from raft_snapshot_agent.core.snapshots.naming import Naming
from raft_snapshot_agent.core.state.report import Delivery, Outcome, Report
from raft_snapshot_agent.core.state.storage_kinds import OF_THIS_HOST
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.lease.acquire import take
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.observe.debug_log import RUN
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.phases import PhaseNotes, phase
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.download import Download, stop_when_cancelled, verify
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import open_spool
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.visit import LEAVE_WITHIN, leave_cluster

if TYPE_CHECKING:  # imported only if a lease is configured, or storages are listed
    from raft_snapshot_agent.core.state.holding import Survey
    from raft_snapshot_agent.lease.holder import Lease

_SWEEP_WITHIN = 10.0
"""Maximum seconds to sweep a storage, so that one that hangs does not delay others."""


class Agent:
    """Takes snapshots of one cluster and stores them."""

    def __init__(
        self,
        cluster: Cluster,
        destinations: Sequence[Destination],
        *,
        naming: Naming,
        spool: Path,
        deadline: float,
        lease: Lease | None = None,
        limiter: ConcurrencyLimiter | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare without contacting anything.

        Arguments:
            cluster: The source of snapshots.
            destinations: Where they are stored.
            naming: Their naming scheme.
            spool: The folder of the spool.
            deadline: Seconds a whole download may take.
            lease: Only its holder takes snapshots; `None`: no such restriction.
            limiter: Limits concurrent snapshots.
            clock: Returns the present time.
        """
        self.cluster = cluster
        self.destinations = destinations
        self._naming = naming
        self.spool = SpoolFolder(spool)
        self._deadline = deadline
        self._clock = clock
        self.lease = lease
        self._limiter = limiter or ConcurrencyLimiter(1)
        self._dead: frozenset[str] = frozenset()
        """IDs of runs that may have left files in a storage."""
        self._filling: Spool | None = None
        self._unsettled = Unsettled()
        self.present_run = ""
        """ID of the running or last run; empty while a run starts."""
        self.surveys: dict[str, Survey] = {}
        """The content of each storage when it was last listed."""

    async def run_once(
        self, names: Collection[str] | None = None, *, again: Collection[str] = ()
    ) -> Report:
        """Take one snapshot and store it in all storages, or in those of these names.

        Failures are in the report. Raises nothing.

        Arguments:
            names: Of the storages.
            again: Those that failed before in this slot. A snapshot that may have arrived there
                is replaced.
        """
        destinations = [one for one in self.destinations if names is None or one.name in names]
        run = self._naming.run(started := self._clock(), secrets.token_hex(8))
        RUN.set(run.id)
        self.present_run = ""
        phases = PhaseNotes.begin()
        report = Report(run.id, started, started)
        try:
            self._dead |= await self.spool.sweep()
            held_lease = self._require_lease()
            report = replace(report, responsible=held_lease is not None)
            leader = await self._find_leader()
            report = replace(report, responsible=True)
            if self._limiter.busy:  # many that wait would each keep a connection open
                self.cluster.close()
            async with self._limiter.permit() as permit:
                if permit.waited:  # it may have changed
                    leader = await self._find_leader()
                report = replace(
                    report,
                    node=leader.node.address,
                    warnings=leader.troubles,
                    doubt=leader.doubt,
                )
                async with open_spool(self.spool.path, run.id) as spool:
                    self._filling, self.present_run = spool, run.id
                    context = RunContext(
                        run,
                        self._naming,
                        leader,
                        spool,
                        self._clock,
                        held_lease,
                        unsettled=self._unsettled,
                        reused=self._list_reused(destinations, again),
                    )
                    report = await self._store(context, report, destinations, permit)
        except Exception as error:  # noqa: BLE001 - nor may a defect end other clusters' runs
            report = replace(report, error=as_failure(error))
        finally:
            self._filling = None
            self.cluster.close()  # many clusters would keep many connections open until the next
        if report.outcome is Outcome.OK and not any(one.error for one in report.deliveries):
            self._dead = frozenset()
        elif report.outcome is not Outcome.SKIPPED:
            self._dead |= {run.id}
        return replace(report, finished_at=self._clock(), phases=phases.ended)

    @property
    def private(self) -> frozenset[str]:
        """Names of the storages that other agents cannot see: local folders."""
        return frozenset(one.name for one in self.destinations if one.storage.kind in OF_THIS_HOST)

    @property
    def received(self) -> int:
        """Bytes of the running snapshot received so far; 0 between two."""
        return 0 if self._filling is None else self._filling.received

    async def run_and_leave(self) -> Report:
        """Take one snapshot, then revoke the token in any case."""
        try:
            async with anyio.create_task_group() as tasks:
                if self.lease is not None:
                    with suppress(AgentError):  # the report contains the error
                        await take(self.lease)
                    tasks.start_soon(self.lease.keep)
                report = await self.run_once()
                tasks.cancel_scope.cancel()
            return report
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Release the lease and revoke the agent's own token, with a short time limit."""
        # No failure ends other clusters' work: both expire by themselves.
        if self.lease is not None:
            with anyio.move_on_after(LEAVE_WITHIN, shield=True), suppress(Exception):
                await self.lease.release()
        await leave_cluster(self.cluster)

    async def sweep(self) -> dict[str, str]:
        """Remove leftovers of crashed runs.

        Returns:
            The error of each storage in which that failed.
        """
        self._dead |= await self.spool.sweep()
        troubles: dict[str, str] = {}

        async def tidy(destination: Destination) -> None:
            if trouble := await self._tidy(destination):
                troubles[destination.name] = trouble

        async with anyio.create_task_group() as tasks:
            for destination in self.destinations:
                tasks.start_soon(tidy, destination)
        return troubles

    async def list_taken(self) -> dict[str, list[datetime]]:
        """Return when the newest snapshot of each storage was taken, and any from the future.

        The state of failed uploads is resolved first. A storage that cannot be listed, or whose
        names have no time, is left out. With a lease, a snapshot without a manifest may still be
        withdrawn; it counts only if the lease record says so.
        """
        # Only a daemon lists storages before a run.
        from raft_snapshot_agent.backup.taken import list_newest

        return await list_newest(
            self.destinations, self._unsettled, self.lease, self._clock, self.surveys
        )

    async def _tidy(self, destination: Destination) -> str:
        """Remove leftovers of crashed runs in a storage; return the error, if any."""
        try:
            with anyio.fail_after(_SWEEP_WITHIN):
                await destination.sweep(self._dead)
        except TimeoutError:
            return f"leftovers could not be removed: no answer within {_SWEEP_WITHIN:g} s"
        except Exception as error:  # noqa: BLE001 - it must not cost a snapshot
            return f"leftovers could not be removed: {as_failure(error)}"
        return ""

    def _require_lease(self) -> HeldLease | None:
        """Return the held lease; `None` if no lease is configured.

        Raises:
            LeaseHeld: Another agent holds it.
            StorageUnavailable: The holder cannot be determined.
        """
        if self.lease is None:
            return None
        if (held_lease := self.lease.held_lease) is None:
            raise self.lease.not_held()
        return held_lease

    def _list_reused(self, served: Sequence[Destination], again: Collection[str]) -> dict[str, str]:
        """Return the names to reuse in this slot; drop those of earlier slots."""
        doubtful = self._unsettled.doubtful
        for name in {destination.name for destination in served} - {*again}:
            doubtful.pop(name, None)
        return {name: doubtful[name].snapshot for name in again if name in doubtful}

    async def _find_leader(self) -> Leader:
        with phase("leader"):
            return await in_thread(self.cluster.find_leader_for_this_agent, abandon=True)

    async def _store(
        self,
        context: RunContext,
        report: Report,
        destinations: Sequence[Destination],
        permit: Permit,
    ) -> Report:
        leader, spool = context.leader, context.spool
        download = Download(self.cluster, leader, spool, self._deadline)
        deliveries: dict[str, Delivery] = {}
        digest = any(destination.with_manifest for destination in destinations)
        counter = MountCounter() if digest else None  # manifests need it, as they need the digest
        index = leader.applied_index
        check = partial(verify, spool, applied_index=index, digest=digest, counter=counter)

        async def deliver_one(destination: Destination) -> None:
            trouble = await self._tidy(destination)
            deliveries[destination.name] = await deliver(destination, context, trouble)

        async with anyio.create_task_group() as watch:
            watch.start_soon(stop_when_cancelled, download)
            watch.start_soon(permit.watch, lambda: spool.moved)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(download.run)
                tasks.start_soon(check)
                for destination in destinations:
                    tasks.start_soon(deliver_one, destination)
            watch.cancel_scope.cancel()
        if spool.error is not None:
            return replace(report, error=spool.error)
        ordered = tuple(deliveries[destination.name] for destination in destinations)
        return replace(report, snapshot=spool.verdict(), deliveries=ordered)
