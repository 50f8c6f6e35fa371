"""Scheduled drills, in tasks of their own; the clusters' loops do not wait for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import anyio

from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, find_late
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.errors import AgentError, SnapshotNotFound
from raft_snapshot_agent.observe.debug_log import CLUSTER
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.drill_plan import DrillPlan
from raft_snapshot_agent.service.events import SLICE
from raft_snapshot_agent.service.wall_clock import WallClockWatch
from raft_snapshot_agent.service.working import is_working

if TYPE_CHECKING:
    from raft_snapshot_agent.restore.rehearsal import DrillOutcome

_AGAIN = timedelta(minutes=5)
"""Time until the next check if another agent is to run the drill, if the state is unknown, or if a
drill by hand may end what is wrong.
"""


class DrillLoop:
    """Runs one cluster's drills when they are due, if this agent takes its snapshots."""

    def __init__(
        self,
        service: ActiveCluster,
        plan: DrillPlan,
        context: ClusterContext,
        turns: anyio.Lock,
    ) -> None:
        """Prepare it.

        Arguments:
            service: The cluster's configuration and objects.
            plan: When drills are due, and how they are run.
            context: What it shares with the cluster's loop.
            turns: Allows one drill at a time in this agent, as each starts a server.
        """
        self.under_way = ""
        self._service = service
        self._journal = context.journal
        self._board = context.board
        self._plan = plan
        self._turns = turns
        self._clock = context.clock
        self._last: datetime | None = None
        """When this agent last tried a drill, as not every drill leaves a note."""
        self._held: datetime | None = None
        """When this agent last held a drill."""
        self._drawn: tuple[datetime | None, float] | None = None
        """The last drill, and the fraction of the jitter that was drawn after it."""
        self._since = self._clock()

    async def run(self) -> None:
        """Run until it is cancelled."""
        CLUSTER.set(self._service.name)
        while True:
            is_ours, newest = await self._look()
            if not is_ours:
                await anyio.sleep(_AGAIN.total_seconds())
                continue
            spread = self._plan.timing.jitter * self._draw(newest)
            if not await self._sleep_until(self._plan.timing.first(newest, self._clock()) + spread):
                continue
            await self._take_turn(newest)
            if self._last is None:  # there is no snapshot yet
                await anyio.sleep(_AGAIN.total_seconds())

    async def _take_turn(self, newest: datetime | None) -> None:
        """Run a drill once no other runs, unless another agent has run it meanwhile."""
        async with self._turns:
            if await self._look() != (True, newest):
                return
            self.under_way = "running drill"
            try:
                await self._run_drill()
            finally:
                self.under_way = ""

    def _draw(self, newest: datetime | None) -> float:
        """Return the fraction of the jitter that was drawn for the slot after a drill."""
        if self._drawn is None or self._drawn[0] != newest:
            self._drawn = newest, random.random()  # noqa: S311 - jitter is no secret
        return self._drawn[1]

    async def _sleep_until(self, due: datetime) -> bool:
        """Sleep until a time; return whether it came, or it is to be looked again before."""
        wall_clock = WallClockWatch(self._clock)
        look_at = self._clock() + _AGAIN
        while (wait := due - self._clock()) > timedelta(0):
            # In slices: the wall clock may be set, and the host may be suspended.
            await anyio.sleep(min(SLICE, wait.total_seconds()))
            may_end = self._status.lacks_drill and self._clock() >= look_at
            if may_end or wall_clock.find_step() < timedelta(0):
                return False
        return True

    @property
    def _status(self) -> ClusterStatus:
        return self._board.find(self._service.name) or ClusterStatus(self._service.name)

    async def _look(self) -> tuple[bool, datetime | None]:
        """Return whether this agent is to run the next drill, and when the last one began."""
        try:
            noted = await self._plan.find_newest(self._clock())
        except AgentError:
            return False, None  # unknown whether it is due
        is_ours = await is_working(self._service.agent)
        if noted is not None:
            self._publish(noted, is_ours=is_ours)
        if self._last is not None and self._last > self._clock():
            self._last = None  # the wall clock was set back
        began = None if noted is None else noted.began
        newest = max((one for one in (began, self._last) if one is not None), default=None)
        self._plan_next(began, newest, is_ours=is_ours)
        return is_ours, newest

    async def _run_drill(self) -> None:
        log: Log = self._service.log
        self._last = self._clock()
        try:
            outcome = await self._plan.run(partial(log.warning, fact=LogEvent.STORAGE_WARNING))
        except SnapshotNotFound:
            self._last = None  # there is no snapshot yet
            return
        except Exception as error:  # noqa: BLE001 - it must not end the snapshots
            self._give_up(str(as_failure(error)))
            return
        self._held = self._last
        self._tell_possible()
        self._change_schedule(lambda drills: replace(drills, failing=None))
        self._tell(log, outcome)

    def _give_up(self, why: str) -> None:
        """Log and publish why a drill could not be run."""
        now, said = self._clock(), [f"The drill could not be run: {why}"]
        self._journal.tell(LogEvent.DRILL_NOT_HELD, said, now, "error", together=True)
        self._change_schedule(lambda drills: drills.not_held(why, now))

    def _plan_next(self, began: datetime | None, newest: datetime | None, *, is_ours: bool) -> None:
        """Publish when the next drill is due and when overdue; nothing if another agent runs it.

        Arguments:
            began: When the last drill began that left a note.
            newest: When the last one was tried.
            is_ours: Whether this agent is responsible.
        """
        timing = self._plan.timing
        due = timing.first(newest, self._clock())
        held = max((one for one in (began, self._held) if one is not None), default=None)
        late = find_late(timing, held, self._since)

        before = self._status.drills or DrillSchedule()
        known = before if began is None else before.after(began)
        if known is not before:
            self._tell_possible()
        planned = known.planned(due, late) if is_ours else None
        self._board.change(self._service.name, lambda status: replace(status, drills=planned))

    def _tell_possible(self) -> None:
        """Log that drills can be run again."""
        self._journal.end(LogEvent.DRILL_NOT_HELD, self._clock())

    def _change_schedule(self, change: Callable[[DrillSchedule], DrillSchedule]) -> None:
        self._board.change(
            self._service.name,
            lambda status: replace(status, drills=change(status.drills or DrillSchedule())),
        )

    def _tell(self, log: Log, outcome: DrillOutcome) -> None:
        note = outcome.note
        self._publish(note, is_ours=True)
        facts = {"snapshot": note.snapshot, "seconds": note.seconds, "server": note.server}
        if outcome.error is not None:
            log.error(outcome.line, fact=LogEvent.DRILL_FAILED, **facts)
        else:
            log.info(outcome.line, fact=LogEvent.DRILL_PASSED, **facts)
        if outcome.trouble:
            what = f"The result of {note.snapshot} could not be stored: {outcome.trouble}"
            log.warning(what, fact=LogEvent.DRILL_NOT_NOTED)

    def _publish(self, note: DrillNote, *, is_ours: bool) -> None:
        """Publish a drill's result in the status, if this agent is responsible.

        A standby agent publishes none, or every agent would raise the same alarm. What it published
        while responsible, it keeps up to date.
        """
        self._board.change(
            self._service.name,
            lambda status: status.drilled(note) if is_ours or status.drill else status,
        )
