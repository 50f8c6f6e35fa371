"""The runs of one cluster: which storages each one serves, and what the last one left open."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from raft_snapshot_agent.core.schedules.schedule import MISSED_LIMIT, backoff
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.spans import record_run
from raft_snapshot_agent.observe.systemd import SystemdNotifier, summary
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.events import EventQueue
from raft_snapshot_agent.service.publisher import Ended, StatusPublisher
from raft_snapshot_agent.service.unattended import Unattended

_STANDS_BY = "this agent stands by"


@dataclass(frozen=True, slots=True)
class Served:
    """The result for the storages that were due."""

    failed: frozenset[str] = frozenset()
    """The storages that did not get the snapshot."""
    interrupted: bool = False
    """Whether an event ended the pause before a retry; the storages are still due."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """What the last run left open."""

    stood_by: bool = False
    """It was skipped, as another agent is responsible."""
    in_doubt: bool = False
    """Another agent may have stored what is due."""
    owing: bool = False
    """A storage failed; the snapshot may have arrived there nevertheless."""
    why: str = ""
    """Why it was skipped."""

    @classmethod
    def of(cls, report: Report) -> LastRun:
        return cls(
            stood_by=report.outcome is Outcome.SKIPPED,
            in_doubt=report.error is not None,
            owing=any(one.error for one in report.deliveries),
            why=str(report.error),
        )


class Runs:
    """Takes the snapshots of one cluster."""

    def __init__(
        self,
        service: ActiveCluster,
        journal: Journal,
        notifier: SystemdNotifier,
        events: EventQueue,
        publisher: StatusPublisher,
        clock: Callable[[], datetime],
    ) -> None:
        """Prepare without contacting anything.

        Arguments:
            service: The cluster's configuration and objects; may be replaced between runs.
            journal: Where results are logged.
            notifier: Reports to systemd.
            events: End the pause before a retry.
            publisher: Publishes the status.
            clock: Returns the present time.
        """
        self.service = service
        self.progress = Progress()
        self.token_check_wanted = anyio.Event()
        """Set after every run and every new login; the task that waits for it replaces it."""
        self._journal = journal
        self._notifier = notifier
        self._events = events
        self._publisher = publisher
        self._clock = clock
        self._unattended = Unattended(journal)
        self._last = LastRun()

    async def begin(self, before: ScheduleState | None = None) -> ScheduleState:
        """Remove leftovers of crashed runs, and resume the schedule from what the storages list.

        Arguments:
            before: The state under the previous configuration.
        """
        agent = self.service.agent
        for storage, trouble in (await agent.sweep()).items():
            said = [f"{storage}: {trouble}"]
            self._journal.tell(LogEvent.STORAGE_WARNING, said, self._clock(), storage=storage)
        taken = await self._list_taken()
        timings, now = self.service.timings(), self._clock()
        state = ScheduleState.begin(timings, taken, now, before, _draw())
        self._notifier.ready(self._tell_next(state))
        return state

    async def resume(self, state: ScheduleState) -> ScheduleState:
        """Continue where the previous lease holder stopped."""
        taken = await self._list_taken()
        if taken and self._last.in_doubt:  # this agent is responsible from now on
            self._last = LastRun()
        return state.resumed(taken, self._clock())

    async def serve_due(self, state: ScheduleState) -> ScheduleState:
        """Serve the due storages, except those that another agent has served."""
        state = await self._look_again(state)
        due = state.due(self._clock())
        if not due:
            return state
        served = await self.serve(due, state)
        if served.interrupted:
            return state
        now, spread = self._clock(), _draw()
        if self._last.stood_by:
            return state.stood_by(due, now, spread)
        state = state.served(due - served.failed, now, spread)
        state = state.failed(served.failed, now, not self._last.in_doubt, spread)
        self._tell_missed(state, due)
        if not served.failed and not self._events.retired:
            self._tell_next(state)
        return state

    async def serve(self, due: Collection[str], state: ScheduleState) -> Served:
        """Take a snapshot for these storages; retry failures until the next one is due."""
        again = state.looked_at_again(self._clock()).intersection(due)
        began = self._clock()
        alone = again.issuperset(due) and len(again) < len(state.lines)
        for failures in itertools.count(1):
            report = await self._run_once(due, again)
            told = self._tell(report, again=bool(state.looked_at_again(report.started_at)))
            await self._count(report)
            if report.outcome is not Outcome.FAILED or (alone and report.error is None):
                return Served(frozenset(one.storage for one in report.deliveries if one.error))
            following = state.served(due, self._clock()).next_due
            wait = self._choose_pause(report, failures, began, following)
            if wait is None:
                break
            if told and not self._events.retired:
                self._log(f"Trying again in {wait.total_seconds():.0f} s.", LogEvent.RETRY)
            if await self._events.wait(self._clock() + wait):
                return Served(interrupted=True)
            if not (due := await self._list_remaining(due, state)):
                what = "The storages hold this snapshot already; it is not taken again."
                self._log(what, LogEvent.SNAPSHOT_HELD_ALREADY)
                break
            again = frozenset(due)
        return Served(frozenset(due))

    def _choose_pause(
        self, report: Report, failures: int, began: datetime, following: datetime
    ) -> timedelta | None:
        """Return how long to wait after a failure; `None` if the next slot comes first.

        The pause is limited by the time from the first attempt to that slot. Limited by what is
        left of it, retries would come ever faster at its end.
        """
        wait = backoff(failures, following - began, _draw())
        if report.error is not None:
            wait = max(wait, timedelta(seconds=report.error.pause))
        return wait if self._clock() + wait < following else None

    async def _list_remaining(self, due: Collection[str], state: ScheduleState) -> Collection[str]:
        """Return the storages still to serve. A run that a signal asked for keeps all."""
        if not state.due(self._clock()).issuperset(due):
            return due
        return (await self._look_again(state)).due(self._clock()).intersection(due)

    async def _look_again(self, state: ScheduleState) -> ScheduleState:
        """Skip what the storages already have, from any agent."""
        last, again = self._last, state.looked_at_again(self._clock())
        if not (last.in_doubt or last.owing or again or self._publisher.awaits_operator):
            return state
        taken, now = await self._list_taken(), self._clock()
        private = self.service.agent.private
        if last.stood_by:
            self._unattended.look(self.service.timings(), taken, now, last.why, private)
        if not last.in_doubt:
            after = state.after_look(taken, now, _draw())
            self._tell_arrived(state, after, now)
            return after
        if last.stood_by and not taken:
            # It cannot be determined whether the other agent stored it: assume so.
            return state.served(state.looked_at_again(now), now, _draw())
        after = state.after_others(taken, now, private)
        if state.due(now) - after.due(now):
            self._tell_ended(self._publisher.served_by_another(), reason=_STANDS_BY)
            self._journal.end(LogEvent.SNAPSHOT_FAILED, now)
        return after

    async def _list_taken(self) -> dict[str, list[datetime]]:
        agent = self.service.agent
        taken = await agent.list_taken()
        self._tell_ended(self._publisher.survey(agent.surveys))
        return taken

    def _tell_ended(self, ended: Ended, **fields: str) -> None:
        now = self._clock()
        for storage in ended.failures:
            self._journal.end(LogEvent.SNAPSHOT_NOT_STORED, now, storage=storage, **fields)
        for storage in ended.alarms:
            self._journal.end(LogEvent.RETENTION_SUSPENDED, now, storage=storage)

    async def _run_once(self, names: Collection[str], again: Collection[str]) -> Report:
        lease, patience = self.service.agent.lease, self.service.patience
        self._publisher.begin()
        with lease.in_use() if lease else nullcontext(), self.progress.going(patience):
            return await self.service.agent.run_once(names, again=again)

    async def _count(self, report: Report) -> None:
        """Give the lease to another agent after too many failures in a row."""
        lease, outcome = self.service.agent.lease, report.outcome
        if lease is not None and outcome not in {Outcome.SKIPPED, Outcome.STOPPED}:
            await lease.count(failed=outcome is not Outcome.OK)

    def _tell(self, report: Report, *, again: bool) -> bool:
        """Log the report, but only the first skip per slot; return whether it was logged."""
        self._journal.end(LogEvent.SCHEDULE_FAILED, self._clock())
        before, self._last, told = self._last, LastRun.of(report), False
        ended = self._publisher.end(report)
        if self._last.stood_by:
            self._tell_ended(ended, reason=_STANDS_BY)
        said = record_run(report, self.service.name)
        self._journal.tell(LogEvent.TRACES_NOT_SENT, said, self._clock())
        if not (self._last.stood_by and before.stood_by and again):
            told = self._journal.report(report)
            self._notifier.status(summary(report))
        if any(not one.error for one in report.deliveries):
            self._unattended.note_own_snapshot(report.finished_at)
        self.token_check_wanted.set()
        return told

    def _tell_arrived(self, before: ScheduleState, after: ScheduleState, now: datetime) -> None:
        """Log which storages have the snapshot of this slot despite a failed upload."""
        for name in sorted(before.due(now) - after.due(now)):
            if before.lines[name].owed:
                what = f"{name} has this snapshot after all; it is not taken again."
                self._log(what, LogEvent.SNAPSHOT_HELD_ALREADY)

    def _tell_missed(self, state: ScheduleState, served: Collection[str]) -> None:
        missed = max(state.lines[name].missed for name in served)
        many = f"{missed}" if missed < MISSED_LIMIT else f"at least {MISSED_LIMIT}"
        said = [f"Scheduled snapshots skipped during the last run: {many}."] if missed else []
        self._journal.tell(LogEvent.SLOTS_MISSED, said, self._clock())

    def _tell_next(self, state: ScheduleState) -> str:
        following = f"Next snapshot at {state.next_due:%Y-%m-%d %H:%M:%S} UTC."
        self._log(following, LogEvent.NEXT_SNAPSHOT)
        return following

    def _log(self, text: str, fact: LogEvent) -> None:
        self.service.log.info(text, fact=fact)


def _draw() -> float:
    return random.random()  # noqa: S311 - jitter is no secret
