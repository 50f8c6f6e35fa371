"""An agent of many clusters: what it is told, and what it stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.faults.site import AGENT, Running

from raft_snapshot_agent.core.snapshots.naming import parse
from raft_snapshot_agent.servers.openbao import OpenBaoCluster


class Fleet:
    """What an agent of many clusters is told, and what it stores."""

    def __init__(self, root: Path, storages: list[dict[str, Any]], **common: Any) -> None:
        self.root = root
        self.common = {"spool": str(root / "spool"), "storages": storages, **common}
        self.clusters: dict[str, dict[str, Any]] = {}
        (root / "spool").mkdir()

    def add(self, name: str, address: str, **more: Any) -> None:
        auth = {"method": "approle", "role_id": "r", "secret_id": "s"}
        self.clusters[name] = {"vault": {"address": address, "auth": auth}, **more}

    def add_all(self, addresses: list[str]) -> None:
        for number, address in enumerate(addresses):
            self.add(f"c{number:02}", address)

    def configuration(self) -> Path:
        path = self.root / "agent.json"
        path.write_text(json.dumps({**self.common, "clusters": self.clusters}))
        return path

    def command(self, *arguments: str, agent: str = AGENT) -> Running:
        return Running(self.root, [agent, *arguments, "-c", str(self.configuration())])

    def taken(self, name: str) -> list[datetime]:
        files = (self.root / "stored" / name).glob("*.snap")
        return sorted(one.taken_at for path in files if (one := parse(path.name)))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    local = {"type": "local", "path": str(tmp_path / "stored")}
    return Fleet(tmp_path, [local], run_on="anywhere")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def archive(bao: OpenBaoCluster) -> bytes:
    address, token = bao.leader().address, bao.root_token
    url = f"{address}/v1/sys/storage/raft/snapshot"
    return urllib3.request("GET", url, headers={"X-Vault-Token": token}).data
