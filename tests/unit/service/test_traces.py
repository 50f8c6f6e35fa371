"""The daemon's runs are traced; a collector that is down is told once, and costs no run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.otlp import attributes, collecting
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon
from raft_snapshot_agent.vault.leader import Cluster

pytestmark = pytest.mark.anyio


async def run_until(folder: Path, done: Callable[[], bool]) -> None:
    """Run a daemon whose server is not there."""
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}})
    agent = Agent(
        Cluster(config.vault, "anywhere"),
        [Destination("memory", MemoryStorage())],
        naming=AGENT,
        spool=folder,
        deadline=5,
    )
    log = configure("text", "info")
    service = ActiveCluster(agent, ScheduleSpec(Every(timedelta(hours=1))), log, name="prod")
    daemon = Daemon(ActiveConfig({"prod": service}, log))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            while not done():  # noqa: ASYNC110
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()


async def test_a_run_that_failed_is_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        await run_until(tmp_path, lambda: bool(collector.spans))

        leader, root = collector.spans[:2]
        assert (leader.name, root.name) == ("leader", "snapshot")
        assert attributes(root)["raft_snapshot.cluster"] == "prod"
        assert attributes(root)["raft_snapshot.outcome"] == "failed"
        assert "127.0.0.1:9" in root.status.message
