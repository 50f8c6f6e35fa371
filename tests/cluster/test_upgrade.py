"""A daemon whose program is replaced while it runs works on, and ends as it should."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.site import Running, Site
from tests.lying import LyingProxy, pass_through, status

import raft_snapshot_agent
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SOURCE = Path(raft_snapshot_agent.__file__).parent


@pytest.fixture
def site(tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        yield site


def test_a_daemon_needs_no_file_of_its_program_after_its_start(
    site: Site, bao: OpenBaoCluster, tmp_path: Path
) -> None:
    program = tmp_path / "program" / SOURCE.name
    # Other tests may write bytecode beside the original, and the daemon is not to beside the copy.
    shutil.copytree(SOURCE, program, ignore=shutil.ignore_patterns("*.pyc.*"))
    site.more["schedule"] = {"every": "2s"}
    site.more["retention"] = {"last": 1}
    with LyingProxy(bao.leader().address) as server:
        site.behind(server)
        server.behave("/v1/sys/leader", status(503, {"errors": ["busy"]}))
        ours = ["env", "PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={program.parent}"]
        words = [*ours, sys.executable, "-m", SOURCE.name, "run", "-c"]
        with Running(site.root, [*words, str(site.configuration())]) as daemon:
            daemon.says("Snapshot failed")
            shutil.rmtree(program)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.says("Reloaded the configuration: unchanged.")
            server.behave("/v1/sys/leader", pass_through)
            until(
                lambda: daemon.said.count("Deleted old snapshot") >= 2, "two are deleted", within=60
            )
            daemon.process.send_signal(signal.SIGTERM)
            ending = daemon.ended()
    assert ending.code == 0, ending.said
    assert "Resolved: Snapshot failed" in ending.said
    assert len(ending.of_level("error")) == 1, ending.said
