"""What a real agent tells, and that whoever is told is never in a snapshot's way."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.command import call
from tests.faults.site import Site
from tests.lying import LyingProxy
from tests.raw_server import RawServer
from tests.receiver import Receiver

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SECRET = "whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlcg=="


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        yield site


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def titles(receiver: Receiver) -> list[str]:
    return [one.document["title"] for one in receiver.messages if one.body.startswith(b"{")]


def ended(receiver: Receiver) -> set[str]:
    """The runs that ended well, by what they are called in the pings."""
    return {one.path for one in receiver.messages if one.path.startswith("/ping?rid=")}


def test_runs_for_cron_tell_a_failure_once_and_its_end(site: Site, receiver: Receiver) -> None:
    site.more["notify"] = [{"type": "webhook", "url": f"{receiver.url}/hook", "secret": SECRET}]
    bucket, site.s3["bucket"] = site.s3["bucket"], "no-such-bucket"
    receiver.status = 500
    ending = site.run_once()
    assert ending.code == 3
    assert "Could not notify webhook" in ending.said
    receiver.status = 200
    assert site.run_once().code == 3
    assert site.run_once().code == 3
    site.s3["bucket"] = bucket
    assert site.run_once().code == 0
    told = ["Raft snapshots (s3): a storage does not get its snapshots"]
    assert titles(receiver)[:2] == told * 2  # the first attempt was answered with 500
    assert len(receiver.messages) <= 3  # the end may wait for the next message's turn
    assert b"no-such-bucket" in receiver.messages[0].body


def test_a_receiver_that_never_answers_is_in_no_snapshots_way(
    site: Site, receiver: Receiver
) -> None:
    def hang(_: bytes) -> Iterator[bytes | float]:
        yield 600.0

    with RawServer(hang) as stuck:
        site.more["schedule"] = {"every": "2s"}
        site.more["notify"] = [
            {"type": "webhook", "url": stuck.address, "on": ["success"], "timeout": "5m"},
            {"type": "healthchecks", "url": f"{receiver.url}/ping"},
        ]
        with site.command("run") as daemon:
            until(lambda: stuck.asked, "one is asked that never answers", within=60)
            until(lambda: len(ended(receiver)) >= 2, "two runs are told", within=60)
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.ended().code == 0
        assert len(stuck.asked) == 1
    assert len(site.names()[0]) >= 2


def test_a_daemon_tells_that_the_server_is_gone_and_goes_on_after_a_kill(
    site: Site, bao: OpenBaoCluster, receiver: Receiver
) -> None:
    site.more["schedule"] = {"every": "1h"}
    site.more["run_on"] = "anywhere"  # else it waits a minute for what another agent stores
    site.more["notify"] = [{"type": "webhook", "url": receiver.url}]
    with LyingProxy(bao.leader().address) as server:
        site.behind(server)
    with site.command("run") as daemon:
        until(lambda: titles(receiver), "the failure is told", within=60)
        until(
            lambda: any(
                '"told": "2' in one.read_text() for one in site.spool.glob("*-notify-*.json")
            ),
            "it is noted that it was told",
            within=60,
        )
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait(60)
    assert titles(receiver) == ["Raft snapshots: snapshots fail"]
    with site.command("run") as daemon:
        until(lambda: "Snapshot failed" in daemon.said, "it fails again", within=60)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.ended()
    assert len(receiver.messages) == 1


def test_the_command_sends_one_message_through_each_and_says_what_came_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    file = tmp_path / "a.json"
    document = {
        "storages": [{"type": "local", "path": str(tmp_path / "s")}],
        "notify": [
            {"type": "webhook", "name": "good", "url": f"{receiver.url}/0123456789abcdefg"},
            {"type": "exec", "name": "bad", "command": ["false"]},
        ],
    }
    file.write_text(json.dumps(document))
    ending = call("notify", "test", "-c", file, "--format", "json")
    assert ending.code == 3
    good, bad = ending.document
    assert good == {"notifier": "good", "type": "webhook", "result": "ok", "answer": "200 OK"}
    assert bad["result"] == "failed"
    assert receiver.messages[0].document["event"] == "test"
    assert call("notify", "test", "--name", "good", "-c", file).code == 0
    assert call("notify", "test", "--name", "bad", "-c", file).code == 2
    ending = call("notify", "test", "--name", "other", "-c", file)
    assert ending.code == 1
    assert "good, bad" in ending.error
    document["notify"] = []
    del document["notify"]
    file.write_text(json.dumps(document))
    assert "no notifier is configured" in call("notify", "test", "-c", file).error
