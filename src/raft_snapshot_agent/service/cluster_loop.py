"""One cluster's part of the daemon: its schedule, its token and its lease."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import anyio

from raft_snapshot_agent.core.report import Outcome, Report
from raft_snapshot_agent.core.schedule import backoff
from raft_snapshot_agent.core.timetable import ScheduleState
from raft_snapshot_agent.lease.changes import Changes
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.systemd import Notifier, summary
from raft_snapshot_agent.observe.trace import RUN, Progress, as_failure
from raft_snapshot_agent.service.cluster_service import ClusterService
from raft_snapshot_agent.service.login import login_trouble, renewal_trouble
from raft_snapshot_agent.service.unattended import Unattended
from raft_snapshot_agent.service.wake import SLICE, Wake

_LOOK_EVERY = 5.0
"""Seconds between two looks for a lease where there is none."""


class ClusterLoop:
    """Takes snapshots of one cluster on schedule."""

    def __init__(
        self,
        service: ClusterService,
        notifier: Notifier,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare the loop.

        Arguments:
            service: What it begins with.
            notifier: Tells systemd.
            clock: Tells the present time.
        """
        self._service = service
        self._journal = Journal(service.log, seed=service.seed)
        self._notifier = notifier
        self._clock = clock
        self._ran = anyio.Event()
        self._wake = Wake(clock)
        self._next: ClusterService | None = None
        self._now = False
        self._retired = False
        self._looked_at_lease = anyio.Event()
        self._lease_changes = Changes()
        self._took_over = False
        self._in_doubt = False
        """Whether another agent may have done meanwhile what is due."""
        self._stood_by = False
        """Whether the last run was left to another agent."""
        self._why = ""
        self.progress = Progress()
        self._unattended = Unattended(service.log)
        self._owing = False
        """Whether a storage failed in the last run; the snapshot may have arrived there."""

    async def run(self) -> None:
        """Run until it is retired, after a snapshot under way, or cancelled, at once."""
        try:
            while not self._retired:
                try:
                    await self._work()
                except* Exception as defects:  # noqa: BLE001 - it must not end the other clusters' work
                    what = f"The schedule failed and starts again in {SLICE:g} s"
                    said = [f"{what}: {as_failure(one)}" for one in defects.exceptions]
                    self._journal.trouble("schedule", said, self._clock(), "error")
                    await anyio.sleep(SLICE)
        finally:
            await self._service.agent.leave()

    async def _work(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_token)
            tasks.start_soon(self._keep_lease)
            await self._loop()
            tasks.cancel_scope.cancel()

    def change(self, service: ClusterService) -> None:
        """Take up another service as soon as no snapshot is under way."""
        self._next = service
        self._wake.up()

    def take_now(self) -> None:
        """Take a snapshot now, beside those on schedule."""
        self._now = True
        self._wake.up()

    def retire(self) -> None:
        """End as soon as no snapshot is under way."""
        self._retired = True
        self._wake.up()

    @property
    def _log(self) -> Log:
        return self._service.log

    async def _keep_token(self) -> None:
        """Renew the token before it ends, also between two snapshots."""
        while True:
            cluster = self._service.agent.cluster
            with anyio.move_on_after(min(SLICE, cluster.session.seconds_to_renewal() + 0.1)):
                await self._ran.wait()  # with a new token, perhaps
                self._ran = anyio.Event()
            said = await renewal_trouble(cluster)
            self._journal.trouble("token", said, self._clock())
            if (refused := await login_trouble(cluster)) is not None:
                self._journal.trouble("login", refused, self._clock())
            await anyio.sleep(SLICE if said else 0)

    async def _keep_lease(self) -> None:
        """Take the lease when it is free, and renew it."""
        while True:
            pause = _LOOK_EVERY
            if (lease := self._service.agent.lease) is not None:
                pause = await lease.look()
                self._note(lease)
            self._looked_at_lease.set()
            await anyio.sleep(pause)

    def _note(self, lease: Lease) -> None:
        """Log what became of the lease; who acquires it begins where the other stopped."""
        for level, text in self._lease_changes.of(lease):
            getattr(self._log, level)(text)
        if self._lease_changes.acquired:
            self._took_over = True
            self._wake.up()

    async def _loop(self) -> None:
        await self._looked_at_lease.wait()
        table = await self._begin()
        while True:
            RUN.set("")
            await self._wake.until(table.next_due)
            if self._retired:
                return
            if self._next is not None:
                await self._change(self._next)
                table = await self._begin(table)
            elif self._took_over:
                table = await self._resume(table)
            elif self._now:
                self._now = False
                await self._serve(table.lines.keys(), table)
            else:
                table = await self._go_on(table)

    async def _begin(self, before: ScheduleState | None = None) -> ScheduleState:
        agent = self._service.agent
        for storage, trouble in (await agent.sweep()).items():
            self._journal.trouble((storage, "warning"), [f"{storage}: {trouble}"], self._clock())
        taken = await agent.taken()
        table = ScheduleState.begin(self._service.timings(), taken, self._clock(), before)
        self._notifier.ready(self._tell_next(table))
        return table

    def _tell_next(self, table: ScheduleState) -> str:
        following = f"Next snapshot at {table.next_due:%Y-%m-%d %H:%M:%S} UTC."
        self._log.info(following)
        return following

    async def _resume(self, table: ScheduleState) -> ScheduleState:
        """Go on where the agent stopped that held the lease before."""
        self._took_over = False
        taken = await self._service.agent.taken()
        if taken:  # from here on it is this agent's turn
            self._in_doubt = self._stood_by = False
        return table.resumed(taken, self._clock())

    async def _change(self, service: ClusterService) -> None:
        old, self._service = self._service, service
        self._next, self._lease_changes = None, Changes()
        self._journal.log = service.log
        await old.agent.leave()
        self._log.info("The new configuration is in force.")

    async def _go_on(self, table: ScheduleState) -> ScheduleState:
        """Serve what is due, unless another agent has done so meanwhile."""
        table = await self._looked(table)
        due = table.due(self._clock())
        if not due:
            return table
        failed = await self._serve(due, table)
        if failed is None:
            return table
        now, spread = self._clock(), random.random()  # noqa: S311 - jitter is no secret
        if self._stood_by:
            return table.stood_by(due, now, spread)
        table = table.served(due - failed, now, spread).failed(failed, now, not self._in_doubt)
        self._tell_missed(table, due)
        if not failed:
            self._tell_next(table)
        return table

    async def _looked(self, table: ScheduleState) -> ScheduleState:
        """Put off what the storages turn out to hold already, whoever stored it."""
        if not (self._in_doubt or self._owing or table.looked_at_again(self._clock())):
            return table
        taken, now = await self._service.agent.taken(), self._clock()
        private = self._service.agent.private
        if self._stood_by:
            self._unattended.look(self._service.timings(), taken, now, self._why, private)
        if not self._in_doubt:
            return self._found(table, table.after_look(taken, now), now)
        if self._stood_by and not taken:
            # Nobody can tell whether the other has done it: trust that it has.
            return table.served(table.looked_at_again(now), now)
        return table.after_others(taken, now, private)

    def _found(self, before: ScheduleState, after: ScheduleState, now: datetime) -> ScheduleState:
        """Log which storages hold the snapshot of this slot after all."""
        for name in sorted(before.due(now) - after.due(now)):
            if before.lines[name].owed:
                self._log.info(f"{name} holds this snapshot after all; it is not taken again.")
        return after

    def _tell_missed(self, table: ScheduleState, served: Collection[str]) -> None:
        missed = max(table.lines[name].missed for name in served)
        said = [f"Scheduled snapshots skipped during the last run: {missed}."] if missed else []
        self._journal.trouble("missed", said, self._clock())

    async def _serve(self, due: Collection[str], table: ScheduleState) -> frozenset[str] | None:
        """Take the snapshot that is due; try again while it fails and the next is not due.

        Returns:
            The storages that did not get it; nothing if something else has to be done first.
        """
        again = table.looked_at_again(self._clock()).intersection(due)
        alone = again.issuperset(due) and len(again) < len(table.lines)
        for failures in itertools.count(1):
            report = await self._run_once(due, again)
            told = self._tell(report, again=bool(table.looked_at_again(report.started_at)))
            await self._count(report)
            if report.outcome is not Outcome.FAILED or (alone and report.error is None):
                return frozenset(one.storage for one in report.deliveries if one.error)
            now = self._clock()
            left = table.served(due, now).next_due - now
            wait = backoff(failures, left, random.random())  # noqa: S311 - jitter is no secret
            if report.error is not None:
                wait = max(wait, timedelta(seconds=report.error.pause))
            if wait >= left:
                break
            if told:
                self._log.info(f"Trying again in {wait.total_seconds():.0f} s.")
            if await self._wake.until(now + wait):
                return None
            if not (due := await self._left(due, table)):
                self._log.info("The storages hold this snapshot already; it is not taken again.")
                break
            again = frozenset(due)
        return frozenset(due)

    def _tell(self, report: Report, *, again: bool) -> bool:
        """Log the report, but only the first skip of a slot; return whether it was news."""
        self._journal.trouble("schedule", [], self._clock())
        stood_by, told = report.outcome is Outcome.SKIPPED, False
        if not (stood_by and self._stood_by and again):
            told = self._journal.report(report)
            self._notifier.status(summary(report))
        self._stood_by, self._why = stood_by, str(report.error)
        if any(not one.error for one in report.deliveries):
            self._unattended.at_work(report.finished_at)
        self._in_doubt = report.error is not None
        self._owing = any(one.error for one in report.deliveries)
        self._ran.set()
        return told

    async def _left(self, due: Collection[str], table: ScheduleState) -> Collection[str]:
        """Return the storages still to serve. A run that a signal asked for keeps all."""
        if not table.due(self._clock()).issuperset(due):
            return due
        return (await self._looked(table)).due(self._clock()).intersection(due)

    async def _run_once(self, names: Collection[str], again: Collection[str]) -> Report:
        started, lease, patience = self._clock(), self._service.agent.lease, self._service.patience
        try:
            with lease.in_use() if lease else nullcontext(), self.progress.going(patience):
                return await self._service.agent.run_once(names, again=again)
        except Exception as error:  # noqa: BLE001 - a defect must not end the daemon
            return Report("", started, self._clock(), error=as_failure(error))

    async def _count(self, report: Report) -> None:
        """Give the lease to another agent after too many failures in a row."""
        lease, outcome = self._service.agent.lease, report.outcome
        if lease is not None and outcome not in {Outcome.SKIPPED, Outcome.STOPPED}:
            await lease.count(failed=outcome is not Outcome.OK)
