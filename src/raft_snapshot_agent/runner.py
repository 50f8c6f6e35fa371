"""One cluster's part of the daemon: its schedule, its token and its lease."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from raft_snapshot_agent.agent import Agent
from raft_snapshot_agent.core.report import Outcome, Report
from raft_snapshot_agent.core.schedule import backoff
from raft_snapshot_agent.core.timetable import Timetable, Timing
from raft_snapshot_agent.intake import as_failure
from raft_snapshot_agent.lease.keeper import Lease
from raft_snapshot_agent.logs import Log, log_report
from raft_snapshot_agent.systemd import Notifier, summary
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.unattended import Unattended

_SLICE = 30.0
"""Longest sleep in seconds: the wall clock may step and the host may be suspended."""
_LOOK_EVERY = 5.0
"""Seconds between two looks for a lease where there is none."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What is done for one cluster until it is told otherwise."""

    agent: Agent
    timing: Timing
    """For storages that have none of their own."""
    log: Log

    def timings(self) -> dict[str, Timing]:
        return {place.name: place.timing or self.timing for place in self.agent.places}


class Runner:
    """Takes snapshots of one cluster on schedule."""

    def __init__(
        self,
        duty: Duty,
        notifier: Notifier,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare a runner.

        Arguments:
            duty: What it begins with.
            notifier: Tells systemd.
            clock: Tells the present time.
        """
        self._duty = duty
        self._notifier = notifier
        self._clock = clock
        self._ran = anyio.Event()
        self._woken = anyio.Event()
        self._next: Duty | None = None
        self._now = False
        self._retired = False
        self._looked_at_lease = anyio.Event()
        self._term: int | None = None
        """Of the lease, when it was taken last."""
        self._took_over = False
        self._in_doubt = False
        """Whether another agent may have done meanwhile what is due."""
        self._stood_by = False
        """Whether the last run was left to another agent."""
        self._why = ""
        self._unattended = Unattended(duty.log)
        self._owing = False
        """Whether a storage failed in the last run; the snapshot may have arrived there."""

    async def run(self) -> None:
        """Run until it is retired, after a snapshot under way, or cancelled, at once."""
        try:
            while not self._retired:
                try:
                    await self._work()
                except* Exception as defects:  # noqa: BLE001 - it must not end the other clusters' work
                    for defect in defects.exceptions:
                        self._log.error(f"Beginning anew: {as_failure(defect)}")
                    await anyio.sleep(_SLICE)
        finally:
            await self._duty.agent.leave()

    async def _work(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_token)
            tasks.start_soon(self._keep_lease)
            await self._loop()
            tasks.cancel_scope.cancel()

    def change(self, duty: Duty) -> None:
        """Take another duty up as soon as no snapshot is under way."""
        self._next = duty
        self._woken.set()

    def take_now(self) -> None:
        """Take a snapshot now, beside those on schedule."""
        self._now = True
        self._woken.set()

    def retire(self) -> None:
        """End as soon as no snapshot is under way."""
        self._retired = True
        self._woken.set()

    @property
    def _log(self) -> Log:
        return self._duty.log

    async def _keep_token(self) -> None:
        """Renew the token before it ends, also between two snapshots."""
        while True:
            cluster = self._duty.agent.cluster
            with anyio.move_on_after(min(_SLICE, cluster.session.seconds_to_renewal() + 0.1)):
                await self._ran.wait()  # with a new token, perhaps
                self._ran = anyio.Event()
            try:
                await in_thread(self._duty.agent.cluster.keep_token, abandon=True)
            except Exception as error:  # noqa: BLE001 - the next run logs in again
                self._log.warning(f"The token is not renewed: {as_failure(error)}")
                await anyio.sleep(_SLICE)

    async def _keep_lease(self) -> None:
        """Take the lease when it is free, and renew it."""
        while True:
            pause = _LOOK_EVERY
            if (lease := self._duty.agent.lease) is not None:
                pause = await lease.look()
                self._note(lease)
            self._looked_at_lease.set()
            await anyio.sleep(pause)

    def _note(self, lease: Lease) -> None:
        """Tell when the lease is taken or lost; who takes it begins where the other stopped."""
        term = None if lease.tenure is None else lease.tenure.term
        if term == self._term:
            return
        if term is None:
            self._log.warning(f"Not working any more: {lease.lost()}.")
        else:
            self._log.info(f"This agent holds the lease in {lease.location}.", term=term)
            self._took_over = True
            self._woken.set()
        self._term = term

    async def _loop(self) -> None:
        await self._looked_at_lease.wait()
        table = await self._begin()
        while True:
            await self._rest_until(table.next_due)
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

    async def _begin(self, before: Timetable | None = None) -> Timetable:
        agent = self._duty.agent
        for storage, trouble in (await agent.sweep()).items():
            self._log.warning(f"{storage}: {trouble}")
        taken = await agent.taken()
        table = Timetable.begin(self._duty.timings(), taken, self._clock(), before)
        self._notifier.ready(f"Next snapshot at {table.next_due:%Y-%m-%d %H:%M:%S} UTC.")
        return table

    async def _resume(self, table: Timetable) -> Timetable:
        """Go on where the agent stopped that held the lease before."""
        self._took_over = False
        taken = await self._duty.agent.taken()
        if taken:  # from here on it is this agent's turn
            self._in_doubt = self._stood_by = False
        return table.resumed(taken, self._clock())

    async def _change(self, duty: Duty) -> None:
        old, self._duty, self._next, self._term = self._duty, duty, None, None
        await old.agent.leave()
        self._log.info("The new configuration is in force.")

    async def _go_on(self, table: Timetable) -> Timetable:
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
        return table

    async def _looked(self, table: Timetable) -> Timetable:
        """Put off what the storages turn out to hold already, whoever stored it."""
        if not (self._in_doubt or self._owing or table.looked_at_again(self._clock())):
            return table
        taken, now = await self._duty.agent.taken(), self._clock()
        private = self._duty.agent.private
        if self._stood_by:
            self._unattended.look(self._duty.timings(), taken, now, self._why, private)
        if not self._in_doubt:
            return self._found(table, table.after_look(taken, now), now)
        if self._stood_by and not taken:
            # Nobody can tell whether the other has done it: trust that it has.
            return table.served(table.looked_at_again(now), now)
        return table.after_others(taken, now, private)

    def _found(self, before: Timetable, after: Timetable, now: datetime) -> Timetable:
        """Log which storages hold the snapshot of this slot after all."""
        for name in sorted(before.due(now) - after.due(now)):
            if before.lines[name].owed:
                self._log.info(f"{name} holds this snapshot after all; it is not taken again.")
        return after

    def _tell_missed(self, table: Timetable, served: Collection[str]) -> None:
        if missed := max(table.lines[name].missed for name in served):
            what = "1 snapshot was" if missed == 1 else f"{missed} snapshots were"
            self._log.warning(f"{what} due meanwhile and will not be made up for.")

    async def _serve(self, due: Collection[str], table: Timetable) -> frozenset[str] | None:
        """Take the snapshot that is due; try again while it fails and the next is not due.

        Returns:
            The storages that did not get it; nothing if something else has to be done first.
        """
        again = table.looked_at_again(self._clock()).intersection(due)
        alone = again.issuperset(due) and len(again) < len(table.lines)
        for failures in itertools.count(1):
            report = await self._run_once(due, again)
            self._tell(report, again=bool(table.looked_at_again(report.started_at)))
            if report.outcome is not Outcome.FAILED or (alone and report.error is None):
                return frozenset(one.storage for one in report.deliveries if one.error)
            now = self._clock()
            left = table.served(due, now).next_due - now
            wait = backoff(failures, left, random.random())  # noqa: S311 - jitter is no secret
            if wait >= left:
                break
            self._log.info(f"Trying again in {wait.total_seconds():.0f} s.")
            if await self._rest_until(now + wait):
                return None
            if not (due := await self._left(due, table)):
                self._log.info("The storages hold this snapshot already; it is not taken again.")
                break
            again = frozenset(due)
        return frozenset(due)

    def _tell(self, report: Report, *, again: bool) -> None:
        """Tell what a run did; to have stood by `again` in the same slot is no news."""
        stood_by = report.outcome is Outcome.SKIPPED
        if not (stood_by and self._stood_by and again):
            log_report(self._log, report)
            self._notifier.status(summary(report))
        self._stood_by, self._why = stood_by, str(report.error)
        if any(not one.error for one in report.deliveries):
            self._unattended.at_work(report.finished_at)
        self._in_doubt = report.error is not None
        self._owing = any(one.error for one in report.deliveries)
        self._ran.set()

    async def _left(self, due: Collection[str], table: Timetable) -> Collection[str]:
        """Return the storages still to serve. A run that a signal asked for keeps all."""
        if not table.due(self._clock()).issuperset(due):
            return due
        return (await self._looked(table)).due(self._clock()).intersection(due)

    async def _run_once(self, names: Collection[str], again: Collection[str]) -> Report:
        started = self._clock()
        try:
            return await self._duty.agent.run_once(names, again=again)
        except Exception as error:  # noqa: BLE001 - a defect must not end the daemon
            return Report("", started, self._clock(), error=as_failure(error))

    async def _rest_until(self, due: datetime) -> bool:
        """Wait until it is `due`; tell whether something else has to be done before."""
        while (left := due - self._clock()) > timedelta(0):
            with anyio.move_on_after(min(_SLICE, left.total_seconds())):
                await self._woken.wait()
            if self._woken.is_set():
                self._woken = anyio.Event()
                return True
        return False
