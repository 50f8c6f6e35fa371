"""What an agent does on its own account, whatever cluster it serves."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.crowd import WELL, Crowd

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.core.state.report import Outcome
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


def cluster_at(address: str) -> Cluster:
    vault = Config.model_validate({"vault": {"address": address}}).vault
    return Cluster(vault, "anywhere")


async def test_runs_that_wait_for_others_keep_no_connection_open(tmp_path: Path) -> None:
    limiter = ConcurrencyLimiter(1)
    with Crowd(b"", WELL * 3) as crowd, anyio.fail_after(60):
        async with limiter.permit(), anyio.create_task_group() as tasks:
            for address in crowd.addresses:
                cluster = cluster_at(address)
                agent = Agent(
                    cluster, [], naming=AGENT, spool=tmp_path, deadline=5, limiter=limiter
                )
                tasks.start_soon(agent.run_once)
            while len(crowd.served) < 3 or crowd.connections:  # noqa: ASYNC110 - threads do it
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


async def test_no_failure_on_the_way_out_ends_the_work_of_other_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Broken()
    lease = Lease(store, "me", timedelta(minutes=1))
    agent = Agent(
        cluster_at("http://127.0.0.1:9"), [], naming=AGENT, spool=tmp_path, deadline=5, lease=lease
    )
    await lease.look()
    assert lease.held_lease is not None

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    await agent.leave()
    assert store.closed


async def test_a_defect_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would end the runs of all other clusters."""

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    cluster = cluster_at("http://127.0.0.1:9")
    monkeypatch.setattr(cluster, "find_leader_for_this_agent", fail)
    agent = Agent(cluster, [], naming=AGENT, spool=tmp_path, deadline=5)
    report = await agent.run_and_leave()
    assert report.outcome is Outcome.FAILED
    assert report.error is not None
    assert report.error.message == "no further thread can be started"
