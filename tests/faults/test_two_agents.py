"""Two agents on one folder, one bucket and one spool."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest
from tests.faults.site import Site
from tests.lying import LyingProxy, S3Faults, pass_through, stall_after

from raft_snapshot_agent.servers.process import until


def test_at_the_same_time_nothing_is_lost(big_site: Site, big_server: LyingProxy) -> None:
    big_site.more["retention"] = {"last": 50}
    with ExitStack() as started:
        agents = [started.enter_context(big_site.command("run", "--once")) for _ in range(4)]
        endings = [agent.ended(60) for agent in agents]
    for ending in endings:
        assert ending.code == 0, ending.said
        assert ending.of_level("warning", "error") == []
    local, remote = big_site.names()
    assert len(set(local)) == len(set(remote)) == 4
    assert big_site.leftovers() == []


def test_what_the_other_is_writing_is_left_alone(
    big_site: Site, big_server: LyingProxy, s3: S3Faults
) -> None:
    """One is in the middle of its work; another one starts, works and sweeps."""
    big_site.s3["endpoint"] = s3.address
    big_server.snapshot = stall_after(16_000_000)
    with big_site.command("run") as slow:
        until(lambda: any("partNumber" in r.query for r in s3.requests), "a part", within=90)
        until(lambda: len(big_site.leftovers()) == 3, "spool, file and upload", within=90)
        begun = big_site.leftovers()
        big_server.snapshot = pass_through
        ending = big_site.run_once()
        assert (ending.code, ending.of_level("warning", "error")) == (0, [])
        assert big_site.leftovers() == begun
        assert [len(names) for names in big_site.names()] == [1, 1]
        slow.process.send_signal(signal.SIGTERM)
        assert slow.ended().code == 0
    assert big_site.leftovers() == []
    assert [len(names) for names in big_site.names()] == [1, 1]


def test_what_a_killed_one_was_writing_is_swept_by_the_other(
    big_site: Site, big_server: LyingProxy, s3: S3Faults
) -> None:
    big_site.s3["endpoint"] = s3.address
    big_server.snapshot = stall_after(16_000_000)
    with big_site.command("run"):
        until(lambda: len(big_site.leftovers()) == 3, "spool, file and upload", within=90)
    assert len(big_site.leftovers()) == 3
    big_server.snapshot = pass_through
    big_site.succeeds()


@pytest.mark.usefixtures("server")
def test_under_one_name_the_last_one_wins(site: Site) -> None:
    """Each replaces the other's snapshot, whole by whole."""
    for storage in (site.local, site.s3):
        storage["static_name"] = "raft_snapshot-1795447800000000000.snap"
    with ExitStack() as started:
        agents = [started.enter_context(site.command("run", "--once")) for _ in range(3)]
        endings = [agent.ended(60) for agent in agents]
    assert {ending.code for ending in endings} <= {0, 2, 3}
    assert 0 in {ending.code for ending in endings}
    site.run_once()
    assert site.names() == (
        ["raft_snapshot-1795447800000000000.snap"],
        ["raft_snapshot-1795447800000000000.snap"],
    )
    assert site.leftovers() == []
