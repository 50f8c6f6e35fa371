"""The loops of all clusters, under the active configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from anyio.abc import TaskGroup

from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.cluster_loop import ClusterLoop


class ClusterLoops:
    """One loop per cluster. That of a removed cluster ends after its running snapshot."""

    def __init__(
        self, notifier: SystemdNotifier, clock: Callable[[], datetime], board: StatusBoard
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        self._board = board
        self._active: dict[str, ClusterLoop] = {}
        self._begun: dict[ClusterLoop, str] = {}
        """The loops that have not ended, retired ones among them, with their clusters."""

    def assign(self, services: Mapping[str, ActiveCluster], tasks: TaskGroup) -> None:
        """Give each changed cluster's loop its service; start new loops and retire removed ones.

        A cluster that is removed and added again waits for the loop it had: two would take two
        snapshots at once.
        """
        for name in self._active.keys() - services.keys():
            self._active.pop(name).retire()
        for name, service in services.items():
            if (loop := self._active.get(name)) is not None:
                loop.change(service)
                continue
            before = [one for one, cluster in self._begun.items() if cluster == name]
            loop = ClusterLoop(
                service, self._notifier.about(name), clock=self._clock, board=self._board
            )
            if before:
                before[0].show()  # the one that works; the others wait as well
            self._active[name] = loop
            self._begun[loop] = name
            tasks.start_soon(self._run, loop, before)

    def take_now(self, cluster: str | None) -> bool:
        """Take an additional snapshot now; return whether the cluster exists.

        Arguments:
            cluster: Its name; `None`: all clusters.
        """
        chosen = [loop for name, loop in self._active.items() if cluster in (None, name)]
        for loop in chosen:
            loop.take_now()
        return bool(chosen)

    def find_context(self, cluster: str) -> ClusterContext:
        """Return what the loop of a cluster shares with its drills and scrubs."""
        return self._active[cluster].context

    def list_stuck(self) -> list[str]:
        """List the clusters with a snapshot that makes no progress, removed ones among them."""
        return sorted({name for loop, name in self._begun.items() if loop.progress.stuck})

    async def _run(self, loop: ClusterLoop, before: list[ClusterLoop]) -> None:
        for one in before:
            await one.ended.wait()
        loop.show()
        try:
            await loop.run()
        finally:
            del self._begun[loop]
