"""The loop of one cluster: events, token and lease."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup, TaskStatus

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.lease.changes import Changes
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.debug_log import CLUSTER, RUN
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.events import (
    SLICE,
    ClockSetBack,
    ClockSetForward,
    Due,
    EventQueue,
    LeaseAcquired,
    Reload,
    Retire,
    TakeNow,
)
from raft_snapshot_agent.service.login import renew_token, try_login
from raft_snapshot_agent.service.publisher import StatusPublisher
from raft_snapshot_agent.service.runs import Runs
from raft_snapshot_agent.vault.leader import Cluster

_LOOK_EVERY = timedelta(minutes=5)
"""Time between two looks at the storages whether a command by hand ended a problem."""


class ClusterLoop:
    """Takes snapshots of one cluster on schedule."""

    def __init__(
        self,
        service: ActiveCluster,
        notifier: SystemdNotifier,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        board: StatusBoard | None = None,
    ) -> None:
        """Prepare the loop.

        Arguments:
            service: The initial configuration and objects.
            notifier: Reports to systemd.
            clock: Returns the present time.
            board: Where the status is published; `None`: not at all.
        """
        self._clock = clock
        board = board or StatusBoard.unread(clock)
        self._publisher = StatusPublisher(service, board, clock)
        self._events = EventQueue(clock, self._publisher.beat)
        self._journal = Journal(service.log, cluster=service.name, seed=service.seed)
        self._runs = Runs(service, self._journal, notifier, self._events, self._publisher, clock)
        self.context = ClusterContext(self._journal, self._runs.progress, board, clock)
        """What its drills and scrubs share with it."""
        self.show()
        self._lease_changes = Changes()
        self._pause = CancelScope()
        """The time until the next look at the lease."""
        self._looking: anyio.Lock | nullcontext[None] = nullcontext()
        """Held during a look at the lease."""
        self.assigned = service
        """The newest service, which is in force after the running snapshot."""
        self.ended = anyio.Event()
        """Set when the loop has ended, its token revoked and its lease released."""

    @property
    def progress(self) -> Progress:
        """When the running snapshot last made progress."""
        return self._runs.progress

    @property
    def places(self) -> frozenset[object]:
        """What it uses now, and what it will use after the running snapshot."""
        return self._runs.service.places | self.assigned.places

    def show(self, cluster: str | None = None) -> None:
        """Make its present values part of its cluster's status, or of that of one that waits."""
        self._publisher.measure_by(self._runs.progress, cluster)

    def change(self, service: ActiveCluster) -> None:
        """Replace the service after the running snapshot, unless it is the present one."""
        if service is not self.assigned:
            self.assigned = service
            self._events.put(Reload(service))

    def take_now(self) -> None:
        """Take a snapshot now, in addition to the scheduled ones."""
        self._events.put(TakeNow())

    def retire(self) -> None:
        """End the loop after the running snapshot."""
        self._events.put(Retire())

    def tell_removed(self) -> None:
        """Log that the cluster is no longer configured."""
        ending = "; the one that runs is finished" if self.progress.is_going else ""
        what = "This cluster is no longer configured: no snapshots of it from now on"
        self.assigned.log.warning(f"{what}{ending}", fact=LogEvent.CLUSTER_REMOVED)

    async def run(self) -> None:
        """Run until retired, which waits for the running snapshot, or cancelled, which does not."""
        CLUSTER.set(self._runs.service.name)
        try:
            while not self._events.retired:
                try:
                    await self._work()
                except* Exception as defects:  # noqa: BLE001 - it must not end the other clusters' work
                    what = f"The schedule failed and starts again in {SLICE:g} s"
                    said = [f"{what}: {as_failure(one)}" for one in defects.exceptions]
                    self._journal.tell(LogEvent.SCHEDULE_FAILED, said, self._clock(), "error")
                    await anyio.sleep(SLICE)
        finally:
            await self._leave(self._runs.service)
            self.ended.set()

    async def _leave(self, service: ActiveCluster) -> None:
        await service.agent.leave()
        self._tell_left_behind(service.agent.cluster)

    async def _work(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_token)
            await self._begin_lease(tasks)
            await self._handle_events(tasks)
            tasks.cancel_scope.cancel()

    async def _handle_events(self, tasks: TaskGroup) -> None:
        """Handle one event at a time. Events interrupt the pause before a retry, but no
        snapshot.
        """
        state = await self._runs.begin()
        self._publisher.plan(state)
        while True:
            RUN.set("")
            match await self._events.next(self._find_moment(state)):
                case Retire():
                    return
                case Reload(service) if service.has_objects_of(self._runs.service):
                    state = self._move(service, state)
                case Reload(service):
                    await self._switch_to(service)
                    await self._begin_lease(tasks)
                    state = await self._runs.begin(state)
                case ClockSetBack(by):
                    state = await self._plan_anew(by)
                case ClockSetForward(by):
                    self._tell_set_forward(by)
                case LeaseAcquired():
                    state = await self._runs.resume(state)
                case TakeNow():
                    await self._take_now(state)
                case Due():
                    state = await self._runs.serve_due(state)
            self._publisher.plan(state)

    def _find_moment(self, state: ScheduleState) -> datetime:
        """Return when there is something to do unless an event comes first."""
        if not self._publisher.awaits_operator:
            return state.next_due
        return min(state.next_due, self._clock() + _LOOK_EVERY)

    async def _switch_to(self, service: ActiveCluster) -> None:
        old, self._runs.service = self._runs.service, service
        self._publisher.service = service
        self._lease_changes = Changes()
        self._journal.adopt(service.log, seed=service.seed)
        self._journal.drop(service.watches, self._clock())
        self._inherit_login(old.agent.cluster, service.agent.cluster)
        self._pause.cancel()
        try:
            async with self._looking:  # else a look under way could take the lease again
                pass
        finally:
            await self._leave(old)
        service.log.info("The new configuration is in force.", fact=LogEvent.CONFIGURATION_IN_FORCE)

    def _move(self, service: ActiveCluster, state: ScheduleState) -> ScheduleState:
        """Adopt the delay of the cluster's new place among the others; nothing else has changed."""
        self._runs.service = self._publisher.service = service
        return state.moved(service.timings())

    async def _plan_anew(self, setback: timedelta) -> ScheduleState:
        """Plan as at the start of the agent, as all known times are of the clock before."""
        self._runs.service.log.warning(
            f"The wall clock was set back by {format_age(setback)}, so the next snapshot is planned"
            " anew from what the storages list; if nobody set it, check the time service of this"
            " host.",
            fact=LogEvent.CLOCK_SET_BACK,
        )
        self._publisher.set_back()
        return await self._runs.begin()

    def _tell_set_forward(self, by: timedelta) -> None:
        self._runs.service.log.warning(
            f"The wall clock was set forward by {format_age(by)}: retention counts by it, and new"
            " snapshots are dated by it; if nobody set it, check the time service of this host.",
            fact=LogEvent.CLOCK_SET_FORWARD,
        )

    async def _take_now(self, state: ScheduleState) -> None:
        if (await self._runs.serve(state.lines.keys(), state)).interrupted:
            self._events.put(TakeNow())  # after the event that was handled first

    async def _keep_token(self) -> None:
        """Renew the token before it expires, also between two snapshots."""
        while True:
            renewal = self._runs.service.agent.cluster.session.seconds_to_renewal()
            with anyio.move_on_after(min(SLICE, renewal + 0.1)):
                await self._runs.token_check_wanted.wait()
            self._runs.token_check_wanted = anyio.Event()
            cluster = self._runs.service.agent.cluster  # which a reload may have replaced
            said = await renew_token(cluster)
            self._tell_login(LogEvent.TOKEN_TROUBLE, said)
            refused = await try_login(cluster)
            if refused is not None and cluster is self._runs.service.agent.cluster:
                self._tell_tested(refused)
            self._tell_left_behind(cluster)
            await anyio.sleep(SLICE if said else 0)

    def _inherit_login(self, before: Cluster, now: Cluster) -> None:
        """Test the new login soon if the old one failed; what is never tested is not known."""
        now.session.inherit(before.session)
        if not now.is_login_check_due:
            self._tell_tested([])
        self._runs.token_check_wanted.set()

    def _tell_tested(self, refused: list[str]) -> None:
        self._tell_login(LogEvent.LOGIN_FAILING, refused)
        self._publisher.login("; ".join(refused))

    def _tell_left_behind(self, cluster: Cluster) -> None:
        """Log that tokens stay valid on the server, as it does not let the agent revoke them."""
        self._tell_login(LogEvent.TOKEN_TROUBLE, cluster.session.left_behind, "revocation")

    def _tell_login(self, event: LogEvent, said: list[str], about: str = "") -> None:
        self._journal.tell(event, said, self._clock(), about=about, together=True)

    async def _begin_lease(self, tasks: TaskGroup) -> None:
        """Acquire the present lease, if one is configured and free, and keep it from now on."""
        if (lease := self._runs.service.agent.lease) is not None:
            self._looking = anyio.Lock()
            await tasks.start(self._keep_lease, lease)

    async def _keep_lease(self, lease: Lease, *, task_status: TaskStatus[None]) -> None:
        """Acquire a lease when it is free, and renew it, until it is no longer configured."""
        pause = await self._look(lease)
        task_status.started()
        while pause is not None:
            with CancelScope() as self._pause:
                await anyio.sleep(pause)
            pause = await self._look(lease)

    async def _look(self, lease: Lease) -> float | None:
        """Renew or acquire a lease; return the pause, or `None` if it is no longer configured."""
        async with self._looking:
            if self._runs.service.agent.lease is not lease:
                return None
            pause = await lease.look()
            if self._runs.service.agent.lease is lease:
                self._note_changes(lease)
            return pause

    def _note_changes(self, lease: Lease) -> None:
        """Log changes of the lease; after acquiring it, continue where the previous holder
        stopped.
        """
        for fact, level, text in self._lease_changes.of(lease):
            getattr(self._runs.service.log, level)(text, fact=fact)
            self._publisher.changed()
        if self._lease_changes.acquired:
            self._events.put(LeaseAcquired())
