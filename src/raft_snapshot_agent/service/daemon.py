"""The daemon: one task group with every loop, signals and reloads."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.early_signals import OBEYED, take_early_signals
from raft_snapshot_agent.network.idle import keep_closing_idle
from raft_snapshot_agent.observe.board import Companion, StatusBoard
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.spans import finish_traces
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_loops import ClusterLoops
from raft_snapshot_agent.service.cluster_tasks import ClusterTasks
from raft_snapshot_agent.service.drills import DrillLoop
from raft_snapshot_agent.service.lasting import keep_running
from raft_snapshot_agent.service.publisher import describe
from raft_snapshot_agent.service.reload_summary import describe_reload
from raft_snapshot_agent.service.scrubs import ScrubLoop
from raft_snapshot_agent.service.wall_clock import measure_uptime
from raft_snapshot_agent.threads import in_thread

_LOOK_EVERY = 5.0
"""Seconds between two checks of the configuration file."""
_SEND_WITHIN = 3.0
"""Maximum seconds to send the remaining traces at the end."""


@dataclass(frozen=True, slots=True)
class ActiveConfig:
    """The configuration of a daemon, until the next reload."""

    clusters: Mapping[str, ActiveCluster]
    """By cluster name, which is empty for a single cluster. After a reload, a cluster whose
    configuration is the same has the same objects."""
    log: Log
    disabled: Mapping[str, str] = field(default_factory=dict)
    """The error of each cluster whose configuration is invalid, by name."""
    source: str = ""
    """The configuration file."""


class ConfigReloader(Protocol):
    """Loads new configurations."""

    def changed(self) -> bool:
        """Return whether the configuration has changed since it was last loaded."""

    def load(self) -> ActiveConfig:
        """Load the configuration.

        Raises:
            ConfigError: It is invalid.
        """


class Daemon:
    """Takes snapshots on schedule until it is stopped; clusters do not wait for each other."""

    def __init__(
        self,
        active: ActiveConfig,
        reloader: ConfigReloader | None = None,
        *,
        notifier: SystemdNotifier | None = None,
        companions: Sequence[Companion] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare a daemon.

        Arguments:
            active: The initial configuration.
            reloader: Loads changed configurations; `None`: no reloads.
            notifier: Reports to systemd.
            companions: Concurrent tasks that only read the status.
            clock: Returns the present time.
        """
        self._active = active
        self._log = active.log
        self._reloader = reloader
        self._reload_wanted = anyio.Event()
        self._notifier = notifier or SystemdNotifier({})
        self._companions = companions
        self._clock = clock
        began, status = measure_uptime(), AgentStatus(__version__, now := clock(), now)
        self._board = StatusBoard(status, clock, lambda: measure_uptime() - began)
        self._loops = ClusterLoops(self._notifier, clock, self._board)
        find = self._loops.find_context
        self._drills = ClusterTasks(lambda one: one.drills, DrillLoop, find)
        self._scrubs = ClusterTasks(lambda one: one.scrubs, ScrubLoop, find)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then finish or discard running snapshots within seconds.

        Signals during the end are ignored: it is short, and leaves nothing behind.
        """
        with _receive_signals() as signals:
            async with anyio.create_task_group() as tasks:
                background: list[Callable[[], Awaitable[None]]] = [
                    partial(self._obey_signals, signals, tasks.cancel_scope),
                    partial(self._reload_when_wanted, tasks),
                    self._feed_watchdog,
                    keep_closing_idle,
                    *(partial(companion.run, self._board) for companion in self._companions),
                ]
                for work in background:
                    tasks.start_soon(keep_running, work)
                self._assign(self._active, tasks)
            for why in await finish_traces(_SEND_WITHIN):
                self._log.warning(why, fact=LogEvent.TRACES_NOT_SENT)
            self._log.info("Stopped.", fact=LogEvent.STOPPED)

    def take_now(self, cluster: str | None) -> bool:
        """Take an additional snapshot now; return whether the cluster exists.

        Arguments:
            cluster: Its name; `None`: all clusters.
        """
        return self._loops.take_now(cluster)

    def _assign(self, active: ActiveConfig, tasks: TaskGroup) -> None:
        """Give the services to loops, drills and scrubs; those of unchanged clusters go on."""
        self._active, self._log = active, active.log
        self._post(active)
        self._loops.assign(active.clusters, tasks)
        self._drills.assign(active.clusters.values(), tasks)
        self._scrubs.assign(active.clusters.values(), tasks)

    def _post(self, active: ActiveConfig) -> None:
        """Publish the clusters and the start time of the daemon."""
        now, known = self._clock(), {one.name: one for one in self._board.read().clusters}
        described = {
            name: describe(service, now, known.get(name))
            for name, service in active.clusters.items()
        }
        disabled = {
            name: ClusterStatus(name, disabled=why) for name, why in active.disabled.items()
        }
        self._board.assign((*described.values(), *disabled.values()))
        self._board.update(
            lambda status: replace(
                status, config_source=active.source, config_loaded_at=now, config_refused=""
            )
        )

    def _count_reload(self, outcome: str, refused: str = "") -> None:
        def change(status: AgentStatus) -> AgentStatus:
            reloads = {**status.reloads, outcome: status.reloads.get(outcome, 0) + 1}
            return replace(status, reloads=reloads, config_refused=refused)

        self._board.update(change)

    async def _obey_signals(self, signals: AsyncIterator[int], scope: CancelScope) -> None:
        for early in take_early_signals():
            self._obey(early, scope)
        async for number in signals:
            self._obey(number, scope)

    def _obey(self, number: int, scope: CancelScope) -> None:
        match number:
            case signal.SIGHUP:
                self._reload_wanted.set()
            case signal.SIGUSR1:
                what = "Received SIGUSR1, taking a snapshot now."
                self._log.info(what, fact=LogEvent.SIGNAL_RECEIVED)
                self.take_now(None)
            case _:
                self._stop(signal.Signals(number), scope)

    def _stop(self, why: signal.Signals, scope: CancelScope) -> None:
        self._log.info(f"Received {why.name}, stopping.", fact=LogEvent.SIGNAL_RECEIVED)
        self._notifier.stopping()
        scope.cancel()

    async def _reload_when_wanted(self, tasks: TaskGroup) -> None:
        """Reload on a signal or when the file has changed; one after the other, as the last one
        to end would win.
        """
        while (reloader := self._reloader) is not None:
            with anyio.move_on_after(_LOOK_EVERY):
                await self._reload_wanted.wait()
            if self._reload_wanted.is_set() or await in_thread(reloader.changed, abandon=True):
                self._reload_wanted = anyio.Event()
                await self._reload(reloader, tasks)

    async def _reload(self, reloader: ConfigReloader, tasks: TaskGroup) -> None:
        """Activate a new configuration if it is valid; running snapshots keep the old one."""
        self._notifier.reloading()
        try:
            active = await in_thread(reloader.load, abandon=True)
        except Exception as error:  # noqa: BLE001 - a defect must not end the daemon
            for line in as_failure(error).lines:
                what = f"The new configuration is refused, the old one stays in force: {line}"
                self._log.error(what, fact=LogEvent.CONFIGURATION_REFUSED)
            self._notifier.ready("The new configuration is refused; see the log.")
            self._count_reload("refused", str(as_failure(error)))
        else:
            what = describe_reload(self._active.clusters, active.clusters, [*active.disabled])
            active.log.info(what, fact=LogEvent.CONFIGURATION_RELOADED)
            self._notifier.ready(what)
            self._assign(active, tasks)
            self._count_reload("ok")

    async def _feed_watchdog(self) -> None:
        told = False
        while self._notifier.heartbeat is not None:
            stuck = self._loops.list_stuck()
            if not stuck:
                self._notifier.alive()
            elif not told:
                where = f" of {', '.join(stuck)}" if stuck != [""] else ""
                self._log.error(
                    f"The snapshot{where} has made no progress for longer than its time-outs"
                    " allow; the agent stops its watchdog signal, so systemd restarts it.",
                    fact=LogEvent.WATCHDOG_SILENT,
                )
            told = bool(stuck)
            await anyio.sleep(self._notifier.heartbeat.total_seconds())


@contextmanager
def _receive_signals() -> Iterator[AsyncIterator[int]]:
    """Receive the signals that the daemon obeys; afterwards, what caught them before does again."""
    before = {one: signal.getsignal(one) for one in OBEYED}
    with anyio.open_signal_receiver(*OBEYED) as signals:
        yield signals
    for one, handler in before.items():
        signal.signal(one, handler)
