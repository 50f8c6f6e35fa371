"""kill -9 between any two steps: nothing broken has a name, and the next run cleans up."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from tests.faults import dying
from tests.faults.disks import small_disk
from tests.faults.site import Site
from tests.lying import Behaviour, Exchange, Request, S3Faults, pass_through

KILLED = -signal.SIGKILL
EVERY = pytest.mark.parametrize(
    "stride",
    [pytest.param(1, id="any", marks=pytest.mark.soak), pytest.param(41, id="every forty-first")],
)
"""Which step or request an agent is killed at: the few show that it is survived at all."""
_HERE = str(Path(dying.__file__).parents[2])


class Agents:
    """Agents of one site that die when they are told to."""

    def __init__(self, site: Site) -> None:
        arguments = [str(site.configuration()), str(site.root)]
        self._driver = subprocess.Popen(
            [sys.executable, dying.__file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(site.root), "PYTHONPATH": _HERE},
            text=True,
        )
        self.pid = 0

    def run(self, dying_before: int = 0) -> tuple[int, list[str]]:
        """Run one; return its status and the steps it did."""
        assert self._driver.stdin is not None
        self._driver.stdin.write(f"{dying_before}\n")
        self._driver.stdin.flush()
        self.pid = self._answer()["pid"]
        answer = self._answer()
        return answer["status"], answer["steps"]

    def _answer(self) -> Any:
        assert self._driver.stdout is not None
        return json.loads(self._driver.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.communicate()


SPOOLED = {"open spool", "flock spool", "writev spool", "unlink spool"}
LINKED = {"link partial snapshot", "open partial snapshot"}
COPIED = {"open partial snapshot", "flock partial snapshot", "write partial snapshot"}
STORED = {
    "fsync partial snapshot",
    "rename snapshot",
    "open folder",
    "fsync folder",
    "open partial manifest",
    "flock partial manifest",
    "write partial manifest",
    "fsync partial manifest",
    "rename manifest",
}
PRUNED = {"unlink manifest", "unlink snapshot"}


def survives(site: Site, agents: Agents, stride: int) -> set[str]:
    """Kill agents before each of their steps or some, each followed by one that is left alone.

    Returns:
        The steps there are.
    """
    steps: set[str] = set()
    for number in itertools.count(1, stride):
        status, done = agents.run(dying_before=number)
        steps |= set(done)
        site.stored()
        if status != KILLED:
            assert status == 0
            return steps
        assert agents.run()[0] == 0
        assert site.leftovers() == []
    raise AssertionError("it never ends")


@EVERY
@pytest.mark.usefixtures("server")
def test_killed_before_a_change(site: Site, stride: int) -> None:
    site.more["retention"] = {"last": 1}
    with Agents(site) as agents:
        assert survives(site, agents, stride) >= SPOOLED | LINKED | STORED | PRUNED


@EVERY
@pytest.mark.usefixtures("server")
def test_killed_before_a_change_where_the_spool_is_on_another_disk(site: Site, stride: int) -> None:
    site.more |= {"retention": {"last": 1}, "storages": [site.local]}
    with small_disk(site.spool, "8m"), Agents(site) as agents:
        assert survives(site, agents, stride) >= SPOOLED | COPIED | STORED | PRUNED


@pytest.mark.soak
@EVERY
@pytest.mark.usefixtures("server")
def test_killed_before_a_change_where_each_snapshot_replaces_the_last(
    site: Site, stride: int
) -> None:
    """What has the name is whole at any time, and a manifest beside it tells of it."""
    site.local["static_name"] = "raft_snapshot-1795447800000000000.snap"
    site.more["storages"] = [site.local]
    with Agents(site) as agents:
        assert survives(site, agents, stride) >= SPOOLED | LINKED | STORED | {"unlink manifest"}
    assert len(site.files()) == 2


@pytest.mark.timeout(400)
@EVERY
@pytest.mark.usefixtures("big_server")
@pytest.mark.parametrize(
    "done",
    [
        pytest.param(False, id="before", marks=pytest.mark.soak),
        pytest.param(True, id="after"),
    ],
)
def test_killed_at_a_request_to_the_bucket(
    big_site: Site, s3: S3Faults, done: bool, stride: int
) -> None:
    big_site.s3["endpoint"] = s3.address
    big_site.more["retention"] = {"last": 1}
    seen = set()
    with Agents(big_site) as agents:
        for number in itertools.count(1, stride):
            s3.heal()
            s3.behave(lambda _: True, _killing(agents, number, done=done))
            asked = len(s3.requests)
            status, _ = agents.run()
            seen |= {_kind(request) for request in s3.requests[asked:]}
            big_site.stored()
            if status != KILLED:
                assert status == 0
                break
            s3.heal()
            assert agents.run()[0] == 0
            assert big_site.leftovers() == []
    assert seen >= {
        "GET uploads",
        "POST uploads",
        "PUT partNumber",
        "POST uploadId",
        "HEAD",
        "PUT",
        "GET list-type",
        "DELETE",
    }


def _killing(agents: Agents, deadly: int, *, done: bool) -> Behaviour:
    """Kill the agent at its request of that number, before or after it was carried out."""
    numbers = itertools.count(1)

    def behave(exchange: Exchange) -> None:
        if next(numbers) != deadly:
            return pass_through(exchange)
        if done:
            exchange.forward().read()
        os.kill(agents.pid, signal.SIGKILL)
        return exchange.cut()

    return behave


def _kind(request: Request) -> str:
    words = [
        word for word in ("uploads", "partNumber", "uploadId", "list-type") if word in request.query
    ]
    return " ".join([request.method, *words[:1]])
