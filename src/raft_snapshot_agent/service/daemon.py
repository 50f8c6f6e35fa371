"""Everything that runs while the daemon runs, in one task group."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.systemd import Notifier
from raft_snapshot_agent.observe.trace import as_failure
from raft_snapshot_agent.service.cluster_loop import ClusterLoop
from raft_snapshot_agent.service.cluster_service import ClusterService
from raft_snapshot_agent.threads import in_thread

__all__ = ["ActiveConfig", "ClusterService", "ConfigReloader", "Daemon"]

_LOOK_EVERY = 5.0
"""Seconds between two looks at the configuration's file."""


@dataclass(frozen=True, slots=True)
class ActiveConfig:
    """What a daemon does until it is told otherwise."""

    clusters: Mapping[str, ClusterService]
    """By the clusters' names; one alone needs none."""
    log: Log


class ConfigReloader(Protocol):
    """Where the duties come from."""

    def changed(self) -> bool:
        """Tell whether there are new ones since they were last asked for."""

    def load(self) -> ActiveConfig:
        """Read them.

        Raises:
            ConfigError: They are wrong.
        """


class Daemon:
    """Takes snapshots on schedule until it is told to stop; no cluster waits for another."""

    def __init__(
        self,
        duties: ActiveConfig,
        orders: ConfigReloader | None = None,
        *,
        notifier: Notifier | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare a daemon.

        Arguments:
            duties: What it begins with.
            orders: Where it looks for others; without them they never change.
            notifier: Tells systemd.
            clock: Tells the present time.
        """
        self._duties = duties
        self._log = duties.log
        self._orders = orders
        self._notifier = notifier or Notifier({})
        self._clock = clock
        self._runners: dict[str, ClusterLoop] = {}

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then finish or drop what is under way, within seconds."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._obey_signals, tasks)
            tasks.start_soon(self._look_for_orders, tasks)
            tasks.start_soon(self._live)
            self._assign(self._duties, tasks)
        self._log.info("Stopped.")

    def _assign(self, duties: ActiveConfig, tasks: TaskGroup) -> None:
        """Give each cluster's runner its duty; start new ones, end those that are gone."""
        self._log = duties.log
        for name in self._runners.keys() - duties.clusters.keys():
            self._runners.pop(name).retire()
        for name, duty in duties.clusters.items():
            if name in self._runners:
                self._runners[name].change(duty)
            else:
                runner = ClusterLoop(duty, self._notifier.about(name), clock=self._clock)
                self._runners[name] = runner
                tasks.start_soon(runner.run)

    async def _obey_signals(self, tasks: TaskGroup) -> None:
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
        with anyio.open_signal_receiver(*wanted) as signals:
            async for number in signals:
                match number:
                    case signal.SIGHUP:
                        await self._reload(tasks)
                    case signal.SIGUSR1:
                        self._log.info("Received SIGUSR1, taking a snapshot now.")
                        for runner in self._runners.values():
                            runner.take_now()
                    case _:
                        self._stop(signal.Signals(number), tasks.cancel_scope)
                        return

    def _stop(self, why: signal.Signals, scope: CancelScope) -> None:
        self._log.info(f"Received {why.name}, stopping.")
        self._notifier.stopping()
        scope.cancel()

    async def _look_for_orders(self, tasks: TaskGroup) -> None:
        while self._orders is not None:
            await anyio.sleep(_LOOK_EVERY)
            if await in_thread(self._orders.changed, abandon=True):
                await self._reload(tasks)

    async def _reload(self, tasks: TaskGroup) -> None:
        """Take a new configuration, if it is sound; a snapshot under way ends under the old."""
        if self._orders is None:
            return
        self._notifier.reloading()
        try:
            duties = await in_thread(self._orders.load, abandon=True)
        except Exception as error:  # noqa: BLE001 - a defect must not end the daemon
            for line in as_failure(error).lines:
                self._log.error(f"The new configuration is refused, the old one stays: {line}")
            self._notifier.ready("The new configuration is refused; see the log.")
        else:
            self._notifier.ready("The new configuration waits for a snapshot under way.")
            self._assign(duties, tasks)

    async def _live(self) -> None:
        told = False
        while self._notifier.heartbeat is not None:
            stuck = sorted(name for name, runner in self._runners.items() if runner.progress.stuck)
            if not stuck:
                self._notifier.alive()
            elif not told:
                where = f" of {', '.join(stuck)}" if stuck != [""] else ""
                self._log.error(
                    f"The snapshot{where} has made no progress for longer than all time-outs"
                    " together; systemd is told no more that this agent lives, and restarts it."
                )
            told = bool(stuck)
            await anyio.sleep(self._notifier.heartbeat.total_seconds())
