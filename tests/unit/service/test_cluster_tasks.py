"""Which background tasks go on under another configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_tasks import ClusterTasks

pytestmark = pytest.mark.anyio


class Endless:
    """A task that runs until it is cancelled."""

    def __init__(self, under_way: str) -> None:
        self.under_way = under_way
        self.begun = self.ended = 0

    async def run(self) -> None:
        self.begun += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.ended += 1


def service(name: str) -> ActiveCluster:
    agent: Any = object()
    timing: Any = None
    return ActiveCluster(agent, timing, configure("text", "info"), name=name)


async def test_only_those_of_changed_clusters_are_given_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[tuple[str, Endless]] = []

    def open_task(service: ActiveCluster, plan: str, _context: object, _turns: object) -> Endless:
        made.append((service.name, Endless(plan)))
        return made[-1][1]

    find_context: Any = {}.get
    plans = {"without": None, "idle": ""}
    held = ClusterTasks(lambda one: plans.get(one.name, "running drill"), open_task, find_context)
    same, without = service("same"), service("without")
    async with anyio.create_task_group() as tasks:
        held.assign([same, without, service("idle"), service("changed"), service("gone")], tasks)
        await anyio.wait_all_tasks_blocked()
        later: Any = object()
        moved = replace(same, timing=later)
        held.assign([moved, without, service("idle"), service("changed")], tasks)
        await anyio.wait_all_tasks_blocked()
        counts = [(name, one.begun, one.ended) for name, one in made]
        tasks.cancel_scope.cancel()
    assert counts == [
        ("same", 1, 0),
        ("idle", 1, 1),
        ("changed", 1, 1),
        ("gone", 1, 1),
        ("idle", 1, 0),
        ("changed", 1, 0),
    ]
    said = capsys.readouterr().err
    given_up = "The running drill is given up, as the configuration of its cluster has changed."
    assert said.count(given_up) == 2
