"""The daemon over time: restarts, crashes, failures, tokens, slow runs."""

from __future__ import annotations

import io
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
import stamina
from tests.conftest import StartBao
from tests.faults.site import Ending, Running, Site, alone, in_process
from tests.lying import (
    Behaviour,
    CuttingTcpProxy,
    Exchange,
    LyingProxy,
    pass_through,
    status,
    times,
)

from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.snapshots.naming import parse
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.service import assembly

LOGIN = "/v1/auth/approle/login"
RENEW = "/v1/auth/token/renew-self"
REVOKE = "/v1/auth/token/revoke-self"
WHO_LEADS = "/v1/sys/leader"


@pytest.fixture
def site(tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        yield site


@pytest.fixture
def server(bao: OpenBaoCluster, site: Site) -> Iterator[LyingProxy]:
    with LyingProxy(bao.leader().address) as proxy:
        site.behind(proxy)
        yield proxy


def every(site: Site, interval: str) -> None:
    site.more["schedule"] = {"every": interval}


def wait_for(site: Site, count: int) -> None:
    """Wait until that many snapshots, or more, are stored in both places."""
    until(
        lambda: min(len(site.files()), len(site.keys())) >= 2 * count,
        f"{count} snapshots are stored with their manifests",
        within=40,
    )


def seconds_between(site: Site) -> list[float]:
    """How far apart the stored snapshots were taken."""
    taken = sorted(parsed.taken_at for name in site.names()[0] if (parsed := parse(name)))
    return [(later - earlier).total_seconds() for earlier, later in pairwise(taken)]


def stop(daemon: Running) -> str:
    daemon.process.send_signal(signal.SIGTERM)
    ending = daemon.ended()
    assert ending.code == 0, ending.said
    return ending.said


def failures(said: str) -> int:
    """How often the log tells of a run that failed, not counting that it is over."""
    errors = Ending(0, said).of_level("error")
    return len([line for line in errors if " Snapshot failed: " in line])


def recording(moments: list[float], behaviour: Behaviour) -> Behaviour:
    """Note when each request came."""

    def behave(exchange: Exchange) -> None:
        moments.append(time.monotonic())
        behaviour(exchange)

    return behave


@pytest.mark.usefixtures("server")
def test_schedule_goes_on_over_restarts(site: Site) -> None:
    every(site, "4s")
    for count in (1, 2, 3):
        with site.command("run") as daemon:
            wait_for(site, count)
            stop(daemon)
    assert len(seconds_between(site)) == 2
    assert min(seconds_between(site)) >= 4
    assert site.leftovers() == []


def test_what_another_agent_took_while_this_one_failed_is_not_taken_again(
    site: Site, server: LyingProxy, bao: OpenBaoCluster
) -> None:
    every(site, "1h")
    asked, answer = threading.Event(), threading.Event()

    def lose_the_leader(exchange: Exchange) -> None:
        asked.set()
        answer.wait(30)
        status(503, {"errors": ["no leader"]})(exchange)

    server.behave(WHO_LEADS, lose_the_leader, times=1)
    site.vault["timeout"] = "60s"
    with site.command("run") as daemon:
        assert asked.wait(30)
        site.vault["address"] = bao.leader().address
        # A file of its own: the daemon would see that its own one has changed.
        other = site.configuration("other.yaml")
        assert in_process("run", "--once", "-c", str(other)).code == 0
        answer.set()
        daemon.says("The storages hold this snapshot already; it is not taken again.")
        daemon.process.send_signal(signal.SIGUSR1)
        wait_for(site, 2)
        said = stop(daemon)
    assert failures(said) == said.count("Trying again in ") == 1
    assert len(server.snapshot_requests) == 1


def test_crash_loop_takes_no_extra_snapshots(site: Site, server: LyingProxy) -> None:
    every(site, "1h")
    with site.command("run") as daemon:
        daemon.says("Successfully created s3 snapshot")
        wait_for(site, 1)
    first = site.names()
    for _ in range(4):
        with site.command("run") as daemon:
            daemon.says("Next snapshot at ")
    assert site.names() == first
    with site.command("run") as daemon:
        daemon.says("Next snapshot at ")
        daemon.process.send_signal(signal.SIGUSR1)
        wait_for(site, 2)
        stop(daemon)
    assert len(server.snapshot_requests) == 2


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("lost", ["local", "s3"])
def test_one_storage_is_enough_to_go_on_from(site: Site, lost: str) -> None:
    every(site, "5s")
    with site.command("run") as daemon:
        wait_for(site, 1)
        stop(daemon)
    if lost == "local":
        for path in site.folder.iterdir():
            path.unlink()
    else:
        for key in list(site.keys()):
            site.client.delete_object(Bucket=site.bucket, Key=key)
    with site.command("run"):
        until(lambda: len(site.stored()[lost == "s3"]) == 1, "another one", within=40)
    # The one that lost its own is served by itself; the other gets none before its time.
    names = site.names()[lost == "local"]
    kept = sorted(parsed.taken_at for name in names if (parsed := parse(name)))
    assert all((b - a).total_seconds() >= 4 for a, b in pairwise(kept))


@pytest.mark.soak
def test_failed_attempts_are_spaced_out_until_one_succeeds(site: Site, server: LyingProxy) -> None:
    moments: list[float] = []
    misfortune = times(2, status(500, {"errors": ["internal error"]}))
    server.snapshot = recording(moments, misfortune)
    with site.command("run") as daemon:
        daemon.says("Successfully created s3 snapshot", within=60)
        said = stop(daemon)
    assert failures(said) == said.count("Trying again in ") == 1  # a failure that lasts, told once
    (over,) = [line for line in said.splitlines() if " Resolved: Snapshot failed: " in line]
    assert " times=2 " in over
    first, second, third = moments
    assert second - first >= 2.5
    assert third - second >= 5
    assert len([request for request in server.requests if request.path == LOGIN]) == 1
    assert [len(names) for names in site.names()] == [1, 1]


def test_server_that_comes_up_later(site: Site, bao: OpenBaoCluster) -> None:
    upstream = urlsplit(bao.leader().address)
    with CuttingTcpProxy(upstream.hostname or "", upstream.port or 0) as line:
        line.refuse()
        site.vault["address"] = line.address
        with site.command("run") as daemon:
            daemon.says(f"Snapshot failed: cannot reach {line.address}: ")
            assert daemon.process.poll() is None
            line.restore()
            wait_for(site, 1)
            said = stop(daemon)
    assert "Traceback" not in said
    assert [len(names) for names in site.names()] == [1, 1]


async def test_bucket_that_is_down_at_the_start(site: Site, server: LyingProxy) -> None:
    every(site, "2s")
    upstream = urlsplit(site.seaweed.endpoint)
    said = io.StringIO()
    with (
        CuttingTcpProxy(upstream.hostname or "", upstream.port or 0) as line,
        stamina.set_testing(True, attempts=3, cap=True),
        redirect_stderr(said),
    ):
        line.refuse()
        site.s3 |= {"endpoint": line.address, "timeout": "1s"}
        config = load(site.configuration(), {}).config
        agent = assembly.agent(config, assembly.destinations(config))
        daemon = alone(agent, config, configure("text", "info"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            await says(said, "Could not store the snapshot in s3: ")
            assert len(site.names()[0]) >= 1
            line.restore()
            await says(said, "Successfully created s3 snapshot")
            tasks.cancel_scope.cancel()
    assert len(site.names()[1]) >= 1
    assert site.leftovers() == []


async def says(said: io.StringIO, words: str) -> None:
    with anyio.fail_after(60):
        while words not in said.getvalue():  # noqa: ASYNC110 - a log is no event
            await anyio.sleep(0.02)


@pytest.mark.soak
def test_token_is_renewed_while_nothing_else_happens_and_revoked_at_the_end(
    start_bao: StartBao, tmp_path: Path, seaweed: SeaweedFS, bucket: str
) -> None:
    cluster = start_bao()
    approle = prepare_agent(cluster, token_ttl="6s")
    with (
        Site(tmp_path, seaweed, bucket, approle) as site,
        LyingProxy(cluster.leader().address) as server,
    ):
        site.behind(server)

        def asked(path: str) -> int:
            return len([request for request in server.requests if request.path == path])

        with site.command("run") as daemon:
            wait_for(site, 1)
            until(lambda: asked(RENEW) >= 2, "the token is renewed twice", within=40)
            token = server.requests[-1].headers["X-Vault-Token"]
            lookup = ("POST", "auth/token/lookup", {"token": token}, cluster.root_token)
            assert cluster.leader().request(*lookup).status == 200
            stop(daemon)
        assert cluster.leader().request(*lookup).status in (403, 404)
        assert (asked(LOGIN), asked(REVOKE)) == (1, 1)
        assert token not in daemon.said


@pytest.mark.soak
def test_run_that_takes_longer_than_the_interval(site: Site, server: LyingProxy) -> None:
    every(site, "2s")
    running: list[int] = []
    server.snapshot = _slow(running, 5)
    with site.command("run") as daemon:
        daemon.says("Scheduled snapshots skipped during the last run: ", within=60)
        wait_for(site, 2)
        stop(daemon)
    assert max(running) == 1
    assert min(seconds_between(site)) >= 5


def _slow(running: list[int], seconds: float) -> Behaviour:
    """Answer later; note how many wait."""
    waiting: list[Exchange] = []

    def behave(exchange: Exchange) -> None:
        waiting.append(exchange)
        running.append(len(waiting))
        exchange.pause(seconds)
        pass_through(exchange)
        waiting.remove(exchange)

    return behave
