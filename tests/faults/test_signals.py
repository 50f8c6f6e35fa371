"""Signals: what is under way is dropped within seconds, and nothing half-written stays."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.site import AGENT, Running, Site
from tests.lying import Exchange, LyingProxy, S3Faults, hang, stall_after

from raft_snapshot_agent.servers.process import program, until

SOON = 60.0
"""Seconds on a busy host; time-outs that must not be waited for are 50 minutes or more."""
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
REVOKE = "/v1/auth/token/revoke-self"
FOR_EVER = {"stall_timeout": "1h", "timeout": "1h", "snapshot_timeout": "1h"}


def stopped(running: Running, number: signal.Signals, code: int) -> str:
    """Send a signal and wait for the end; return what it said."""
    running.process.send_signal(number)
    ending = running.ended(SOON)
    assert ending.code == code, ending.said
    assert "Traceback" not in ending.said
    assert ending.of_level("warning", "error") == []
    return ending.said


def nothing_stays(site: Site) -> None:
    assert site.names() == ([], [])
    assert site.leftovers() == []


@BOTH
def test_daemon_that_waits(site: Site, server: LyingProxy, number: signal.Signals) -> None:
    with site.command("run") as running:
        running.says("Successfully created s3 snapshot")
        said = stopped(running, number, 0)
    assert f"Received {number.name}, stopping." in said
    assert said.splitlines()[-1].endswith("Stopped.  event=stopped")
    assert [len(names) for names in site.names()] == [1, 1]
    assert site.leftovers() == []
    assert [request.path for request in server.requests][-1] == REVOKE


@BOTH
@pytest.mark.parametrize("sent", [0, 10_000])
def test_daemon_that_downloads(
    site: Site, server: LyingProxy, number: signal.Signals, sent: int
) -> None:
    site.vault |= FOR_EVER
    server.snapshot = stall_after(sent)
    with site.command("run") as running:
        until(lambda: server.snapshot_requests, "it downloads", within=SOON)
        stopped(running, number, 0)
    nothing_stays(site)
    assert [request.path for request in server.requests][-1] == REVOKE


@pytest.mark.parametrize("path", ["/v1/sys/leader", "/v1/auth/approle/login"])
def test_daemon_whose_server_never_answers(site: Site, server: LyingProxy, path: str) -> None:
    site.vault |= FOR_EVER
    server.behave(path, hang)
    with site.command("run") as running:
        until(lambda: path in [r.path for r in server.requests], "it asks", within=SOON)
        stopped(running, signal.SIGTERM, 0)
    nothing_stays(site)


def test_daemon_whose_server_never_begins_to_answer(site: Site, server: LyingProxy) -> None:
    site.vault |= FOR_EVER
    server.snapshot = hang
    with site.command("run") as running:
        until(lambda: server.snapshot_requests, "it asks", within=SOON)
        stopped(running, signal.SIGTERM, 0)
    nothing_stays(site)


@BOTH
def test_daemon_that_uploads(
    site: Site, server: LyingProxy, s3: S3Faults, number: signal.Signals
) -> None:
    site.s3 |= {"endpoint": s3.address, "timeout": "50m"}
    s3.hang(lambda request: request.method == "PUT")
    with site.command("run") as running:
        until(lambda: any(r.method == "PUT" for r in s3.requests), "it uploads", within=SOON)
        stopped(running, number, 0)
    assert site.names()[1] == []
    assert site.leftovers() == []


def test_daemon_that_uploads_parts(big_site: Site, big_server: LyingProxy, s3: S3Faults) -> None:
    """The parts that were sent are taken back before it ends."""
    big_site.s3 |= {"endpoint": s3.address, "timeout": "50m"}
    big_server.snapshot = _never_ending
    with big_site.command("run") as running:
        until(lambda: any("partNumber" in r.query for r in s3.requests), "a part", within=SOON)
        stopped(running, signal.SIGTERM, 0)
    nothing_stays(big_site)


def test_daemon_whose_bucket_never_answers(site: Site, server: LyingProxy, s3: S3Faults) -> None:
    site.s3 |= {"endpoint": s3.address, "timeout": "50m"}
    s3.hang(lambda _: True)
    with site.command("run") as running:
        until(lambda: s3.requests, "it asks", within=SOON)
        stopped(running, signal.SIGTERM, 0)
    assert site.leftovers() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("command", ["run --once", "save", "save FILE"])
def test_command(
    site: Site,
    server: LyingProxy,
    tmp_path: Path,
    command: str,
    number: signal.Signals,
    code: int,
) -> None:
    site.vault |= FOR_EVER
    server.snapshot = stall_after(10_000)
    itself = {"ha_enabled": True, "is_self": True, "leader_address": server.address}
    server.override("/v1/sys/leader", 200, itself)  # `save` goes where the leader is
    target = tmp_path / "target" / "vault.snap"
    target.parent.mkdir()
    arguments = [str(target) if word == "FILE" else word for word in command.split()]
    with site.command(*arguments) as running:
        until(lambda: server.snapshot_requests, "it downloads", within=SOON)
        stopped(running, number, code)
    nothing_stays(site)
    assert list(target.parent.iterdir()) == []
    assert [request.path for request in server.requests][-1] == REVOKE


def test_pipe_that_nobody_reads(big_site: Site, big_server: LyingProxy) -> None:
    with big_site.piped("save", "-") as (running, pipe):
        assert pipe.read(1) == b"\x1f"
        stopped(running, signal.SIGTERM, 143)
    assert big_site.leftovers() == []


def test_pipe_whose_reader_leaves(big_site: Site, big_server: LyingProxy) -> None:
    with big_site.piped("save", "-") as (running, pipe):
        assert pipe.read(1) == b"\x1f"
        pipe.close()
        ending = running.ended(SOON)
    assert ending.code == 2
    assert (
        ending.only_error
        == "error: stdout: cannot write to standard output: Broken pipe (the reading end is gone or full)"
    )
    assert big_site.leftovers() == []


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("arguments", "code"), [(["save", "-"], 2), (["run", "--once"], 0)])
def test_full_disk_behind_standard_output(site: Site, arguments: list[str], code: int) -> None:
    script = 'exec "$0" "$@" >/dev/full'  # Python's own standard output, in a process of its own
    command = ["sh", "-c", script, program(AGENT), *arguments, "-c", str(site.configuration())]
    with Running(site.root, command) as running:
        ending = running.ended(SOON)
    assert ending.code == code
    assert not code or ending.only_error == (
        "error: stdout: cannot write to standard output: No space left on device"
        " (the reading end is gone or full)"
    )


def _never_ending(exchange: Exchange) -> None:
    response = exchange.forward()
    exchange.begin(response.status, response.getheaders())
    exchange.send(response.read(16_000_000))
    hang(exchange)
