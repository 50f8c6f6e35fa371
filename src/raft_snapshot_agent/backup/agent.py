"""One run: a snapshot from the leader into every storage at once.

Download, verifier and one delivery per storage run side by side, and all follow one file, the
spool. It comes to its end for the deliveries only once the verifier has found the snapshot whole:
until then none completes, and if it is not whole all of them fail. What follows in a delivery,
manifest and retention, is a sequence again; no delivery waits for another.
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
from raft_snapshot_agent.core.mount_counts import MountCounter
from raft_snapshot_agent.core.naming import Naming
from raft_snapshot_agent.core.report import Outcome, Report, StorageResult
from raft_snapshot_agent.destination.destination import Destination, Pruned
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.lease.acquire import take
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.observe.phases import PhaseNotes, phase
from raft_snapshot_agent.observe.trace import RUN, as_failure
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.download import Download, stop_when_cancelled, verify
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.leader import Cluster, Leader

if TYPE_CHECKING:  # of which there is none unless one is configured, or storages are listed
    from raft_snapshot_agent.core.holding import Survey
    from raft_snapshot_agent.lease.holder import Lease

_LEAVE_WITHIN = 3.0
"""Seconds to wait for the server to revoke a token."""
_SWEEP_WITHIN = 10.0
"""Seconds that a storage gets to be swept; one that hangs must hold up nobody."""


class Agent:
    """Takes snapshots of one cluster into its storages."""

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
        """Put the pieces together; nothing is contacted.

        Arguments:
            cluster: Where snapshots come from.
            destinations: Where they go to.
            naming: How they are called.
            spool: Folder of the local spool.
            deadline: Seconds a whole download may take.
            lease: Whoever holds it works; without one this agent always may.
            limiter: Bounds how many snapshots are under way at once.
            clock: Tells the present time.
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
        """Runs that may have left something somewhere."""
        self._filling: Spool | None = None
        self._unsettled = Unsettled()
        self.present_run = ""
        """ID of the run whose snapshot is under way, or was last; empty while a run only begins."""
        self.surveys: dict[str, Survey] = {}
        """What each storage held when it was last listed."""

    async def run_once(
        self, names: Collection[str] | None = None, *, again: Collection[str] = ()
    ) -> Report:
        """Take one snapshot and store it everywhere, or in the storages of these names.

        What fails is in the report; nothing is raised.

        Arguments:
            names: Of the storages.
            again: Those of them that were tried before in this slot. What may have arrived there
                all the same is replaced.
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
            leader = await self._find_leader()
            async with self._limiter.permit() as permit:
                if permit.waited:  # it may be another by now
                    leader = await self._find_leader()
                report = replace(report, node=leader.node.address, warnings=leader.troubles)
                with Spool.create(self.spool.path, run.id) as spool:
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
        except AgentError as error:
            report = replace(report, error=error)
        if report.outcome is Outcome.OK and not any(one.error for one in report.deliveries):
            self._dead = frozenset()
        elif report.outcome is not Outcome.SKIPPED:
            self._dead |= {run.id}
        return replace(report, finished_at=self._clock(), phases=phases.ended)

    @property
    def private(self) -> frozenset[str]:
        """Names of the storages that other agents cannot see: folders of this host."""
        return frozenset(one.name for one in self.destinations if one.storage.kind == "local")

    @property
    def received(self) -> int:
        """Bytes of the present snapshot, or the last, that have arrived so far."""
        return 0 if self._filling is None else self._filling.received

    async def run_and_leave(self) -> Report:
        """Take one snapshot and end the token, however that went."""
        try:
            async with anyio.create_task_group() as tasks:
                if self.lease is not None:
                    with suppress(AgentError):  # the report will say so
                        await take(self.lease)
                    tasks.start_soon(self.lease.keep)
                report = await self.run_once()
                tasks.cancel_scope.cancel()
            return report
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Give the lease back and end the token this agent made; nobody waits long for that."""
        if self.lease is not None:
            with anyio.move_on_after(_LEAVE_WITHIN, shield=True), suppress(AgentError):
                await self.lease.release()
        with anyio.move_on_after(_LEAVE_WITHIN, shield=True), suppress(AgentError):
            await in_thread(self.cluster.revoke_token, abandon=True)

    async def sweep(self) -> dict[str, str]:
        """Remove what crashed runs left behind.

        Returns:
            The storages where that was not possible, and why.
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
        """List when the newest that each storage holds was taken, and those from the future.

        What became of an upload that failed is found out first. A storage that cannot be listed,
        or does not tell when, is left out. Where there is a lease, one without a manifest
        may be withdrawn yet, and counts if the record of the lease says so.
        """
        # A run by hand lists nothing before it begins.
        from raft_snapshot_agent.backup.taken import list_newest

        return await list_newest(
            self.destinations, self._unsettled, self.lease, self._clock, self.surveys
        )

    async def prune(self, destination: Destination, **how: bool) -> Pruned:
        """Delete what retention does not keep; `how` is that of `Destination.prune`.

        Raises:
            StorageError: It could not be listed.
        """
        return await destination.prune(self._clock(), **how)

    async def _tidy(self, destination: Destination) -> str:
        """Remove what dead runs left in a storage; say why that is not possible."""
        try:
            with anyio.fail_after(_SWEEP_WITHIN):
                await destination.sweep(self._dead)
        except TimeoutError:
            return f"leftovers are not removed: no answer within {_SWEEP_WITHIN:g} s"
        except Exception as error:  # noqa: BLE001 - it must not cost a snapshot
            return f"leftovers are not removed: {as_failure(error)}"
        return ""

    def _require_lease(self) -> HeldLease | None:
        """Return the lease as it is held now; nothing where there is none.

        Raises:
            LeaseHeld: Another agent is to work.
            StorageUnavailable: Nobody knows which.
        """
        if self.lease is None:
            return None
        if (held_lease := self.lease.held_lease) is None:
            raise self.lease.not_held()
        return held_lease

    def _list_reused(self, served: Sequence[Destination], again: Collection[str]) -> dict[str, str]:
        """List the names to use once more; forget those of earlier slots."""
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
        deliveries: dict[str, StorageResult] = {}
        digest = any(destination.with_manifest for destination in destinations)
        counter = MountCounter() if digest else None  # for manifests, like the digest
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
