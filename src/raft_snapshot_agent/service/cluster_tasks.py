"""One background task per cluster, such as its scheduled drills."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.lasting import keep_running


class ClusterTask(Protocol):
    """Work of one cluster that goes on as long as its configuration is the same."""

    under_way: str
    """What is running now, for the log; empty between two."""

    async def run(self) -> None:
        """Run until it is cancelled."""


Plan = TypeVar("Plan")
OpenTask = Callable[[ActiveCluster, Plan, ClusterContext, anyio.Lock], ClusterTask]
"""Returns the task of a cluster.

The lock is common to all clusters: its holder may do what costs the host much.
"""


class ClusterTasks(Generic[Plan]):
    """The tasks of all clusters, under the active configuration."""

    def __init__(
        self,
        find_plan: Callable[[ActiveCluster], Plan | None],
        open_task: OpenTask[Plan],
        find_context: Callable[[str], ClusterContext],
    ) -> None:
        """Begin without tasks.

        Arguments:
            find_plan: Returns the plan of a cluster; `None` if its configuration has none.
            open_task: Returns the task that carries it out.
            find_context: Returns what a cluster's tasks share with its loop, by its name.
        """
        self._find_plan = find_plan
        self._open_task = open_task
        self._find_context = find_context
        self._turns = anyio.Lock()
        self._running: dict[str, tuple[ActiveCluster, ClusterTask, CancelScope]] = {}

    def assign(self, services: Iterable[ActiveCluster], tasks: TaskGroup) -> None:
        """Cancel the tasks of changed and removed clusters; start those of changed and new ones."""
        wanted = {service.name: service for service in services}
        for name, (service, running, scope) in tuple(self._running.items()):
            if not service.has_objects_of(wanted.get(name)):
                del self._running[name]
                scope.cancel()
                if what := running.under_way:
                    service.log.warning(
                        f"The {what} is given up, as the configuration of its cluster has changed.",
                        fact=LogEvent.TASK_GIVEN_UP,
                    )
        for name, service in wanted.items():
            if name in self._running:
                continue
            plan = self._find_plan(service)
            if plan is not None:
                task = self._open_task(service, plan, self._find_context(name), self._turns)
                scope = CancelScope()
                self._running[name] = service, task, scope
                tasks.start_soon(keep_running, task.run, scope)
