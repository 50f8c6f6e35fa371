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

        Two loops at one server or storage would take two snapshots at once. So a new one waits for
        those of the same name or place; and clusters that exchange names or places get new loops.
        """
        holding = self._find_holders()
        wanted = {place: name for name, one in services.items() for place in one.places}
        for name, loop in tuple(self._active.items()):
            if name not in services:
                loop.tell_removed()
            elif not self._has_moved(name, loop, services[name], holding, wanted):
                loop.change(services[name])
                continue
            self._active.pop(name).retire()
        for name, service in services.items():
            if name not in self._active:
                self._start(name, service, holding, tasks)

    def _find_holders(self) -> Mapping[object, list[ClusterLoop]]:
        """Return the loops that have not ended, by the cluster's name and by each place."""
        holding: dict[object, list[ClusterLoop]] = {}
        for loop, name in self._begun.items():
            for key in (name, *loop.places):
                holding.setdefault(key, []).append(loop)
        return holding

    def _has_moved(
        self,
        name: str,
        loop: ClusterLoop,
        service: ActiveCluster,
        holding: Mapping[object, list[ClusterLoop]],
        wanted: Mapping[object, str],
    ) -> bool:
        """Return whether a cluster gets a place of another one, or leaves its own to another."""
        if any(wanted.get(place, name) != name for place in loop.places):
            return True
        if service.has_objects_of(loop.assigned):
            return False
        held = (one for place in service.places for one in holding.get(place, ()))
        return any(self._begun[one] != name for one in held)

    def _start(
        self,
        name: str,
        service: ActiveCluster,
        holding: Mapping[object, list[ClusterLoop]],
        tasks: TaskGroup,
    ) -> None:
        keys = (name, *service.places)
        before = [*dict.fromkeys(one for key in keys for one in holding.get(key, ()))]
        loop = ClusterLoop(
            service, self._notifier.about(name), clock=self._clock, board=self._board
        )
        if before:
            before[0].show(name)  # the one that works; the others wait as well
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
