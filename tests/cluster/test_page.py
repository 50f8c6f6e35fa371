"""The page of a daemon that takes snapshots of a real cluster, and what cannot disturb it."""

from __future__ import annotations

import json
import math
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from tests.cluster.command import call
from tests.faults.site import Running, Site

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import free_ports, release_ports, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

TOKEN = "a-token-of-the-page-that-nobody-guesses"


class Page:
    """What a daemon serves."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.port = port
        site.more["web"] = {
            "listen": f"127.0.0.1:{port}",
            "token": TOKEN,
            "allow_snapshot": True,
        }

    def ask(self, path: str, method: str = "GET", token: str = TOKEN) -> tuple[int, str]:
        """Ask for something; 0 where nobody answers."""
        bearer = {"Authorization": f"Bearer {token}"}
        request = Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=bearer)
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def runs(self) -> list[dict[str, Any]]:
        code, text = self.ask("/api/v1/status")
        return json.loads(text)["clusters"][0]["runs"] if code == 200 else []


@pytest.fixture
def page(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Page]:
    (port,) = free_ports(1)
    try:
        with Site(tmp_path, seaweed, bucket, approle) as site:
            site.vault["address"] = bao.leader().address
            yield Page(site, port)
    finally:
        release_ports([port])


def stop(daemon: Running) -> None:
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended().code == 0


def test_the_page_of_a_daemon_says_how_things_stand_and_takes_a_snapshot(page: Page) -> None:
    with page.site.command("run") as daemon:
        until(lambda: "All is well" in page.ask("/")[1], "it is stored", within=60)
        until(lambda: page.ask("/readyz", token="")[0] == 200, "it is ready", within=60)
        assert page.ask("/healthz", token="") == (200, "healthy\n")
        assert page.ask("/", token="x")[0] == 401

        assert page.ask("/api/v1/snapshot", "POST", token="x")[0] == 401
        assert page.ask("/api/v1/snapshot?cluster=nobody", "POST")[0] == 404
        assert page.ask("/api/v1/snapshot", "POST")[0] == 202
        until(lambda: len(page.runs()) == 2, "the second is stored", within=60)

        told = call("status", "--format", "json", "-c", str(page.site.root / "agent.yaml"))
        served = json.loads(page.ask("/api/v1/status")[1])
        assert json.loads(told.text)["clusters"][0]["runs"] == served["clusters"][0]["runs"]
        listed = json.loads(page.ask("/api/v1/snapshots")[1])
        assert {one["storage"] for one in listed["snapshots"]} == {"local", "s3"}
        assert {one["name"] for one in listed["snapshots"]} >= set(page.site.names()[0])
        _, words = page.ask("/v1/sys/storage/raft/snapshot-auto/status/default")
        assert json.loads(words)["data"]["consecutive_errors"] == 0
        assert "raft_snapshot_build_info" in page.ask("/metrics")[1]

        shown = "".join(page.ask(path)[1] for path in ("/", "/api/v1/status", "/metrics"))
        assert [one for one in (TOKEN, *page.site._secrets()) if one in shown] == []
        stop(daemon)


@pytest.mark.timeout(300)
@pytest.mark.soak
def test_snapshots_stay_on_time_whatever_comes_over_http(page: Page) -> None:
    page.site.more["schedule"] = {"every": "3s"}
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 12_000 if most == resource.RLIM_INFINITY else min(most, 12_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    with page.site.command("run") as daemon, ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (usual, most))
        until(lambda: len(page.runs()) >= 2, "two are stored", within=120)
        for number in range(min(5000, allowed - 500)):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(OSError):
                one.connect(("127.0.0.1", page.port))
            with suppress(OSError):
                one.send([b"GET / HTTP/1.1\r\nX: ", b"x" * 60_000, b""][number % 3])
        before = len(page.site.names()[0])
        until(lambda: len(page.site.names()[0]) >= before + 10, "ten more are stored", within=300)
        held.close()
        until(lambda: page.ask("/healthz")[0] == 200, "it answers again", within=120)
        runs = page.runs()
        assert {one["outcome"] for one in runs} == {"ok"}
        stop(daemon)


def test_a_storage_that_is_lost_is_overdue_by_what_was_known_of_it(page: Page) -> None:
    page.site.more["schedule"] = {"every": "1s"}

    def read(name: str) -> float:
        _, text = page.ask("/metrics")
        sample = f'raft_snapshot_{name}{{cluster="",storage="local"}} '
        found = [line for line in text.splitlines() if line.startswith(sample)]
        return float(found[0].removeprefix(sample)) if found else math.nan

    with page.site.command("run"):
        until(lambda: read("last_success_timestamp_seconds") > 0, "it is stored", within=60)
        page.site.folder.rename(page.site.root / "lost")
        until(lambda: read("storage_state") == 3, "it cannot be listed", within=60)
        assert read("overdue_timestamp_seconds") > read("last_success_timestamp_seconds") > 0
