"""What an agent does on its own account, whatever cluster it serves."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.leases.lease import Record, Versioned
from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.vault.leader import Cluster

pytestmark = pytest.mark.anyio


class Broken:
    """A record that was read, and is out of reach since."""

    location = "the shelf"
    closed = False

    async def read(self) -> Versioned | None:
        return None

    async def write(self, _: Record, expected: str | None) -> str | None:
        if expected is not None:
            raise MemoryError
        return "1"

    async def close(self) -> None:
        self.closed = True


async def test_no_failure_on_the_way_out_ends_the_work_of_other_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Broken()
    lease = Lease(store, "me", timedelta(minutes=1))
    vault = Config.model_validate({"vault": {"address": "http://127.0.0.1:9"}}).vault
    cluster = Cluster(vault, "anywhere")
    agent = Agent(cluster, [], naming=AGENT, spool=tmp_path, deadline=5, lease=lease)
    await lease.look()
    assert lease.held_lease is not None

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    await agent.leave()
    assert store.closed
