from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adversary.agent import Bench, Worker

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A process of the agent that all tests of this process share."""
    one = Worker(tmp_path_factory.mktemp("worker"))
    yield one
    one.stop()


@pytest.fixture
def bench(tmp_path: Path, worker: Worker, bao: OpenBaoCluster, approle: AppRole) -> Bench:
    """An agent with an honest storage and a real server."""
    auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
    vault = {"address": bao.leader().address, "auth": auth, "timeout": "3s", "stall_timeout": "6s"}
    made = Bench(tmp_path, worker, vault)
    made.honest.mkdir()
    return made


@pytest.fixture(scope="session")
def cluster_id(bao: OpenBaoCluster) -> str:
    """Of `bao`."""
    return str(bao.leader().request("GET", "sys/seal-status").document["cluster_id"])
