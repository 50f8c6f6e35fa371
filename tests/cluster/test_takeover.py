"""Three agents, each beside its own node, while the leadership moves again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.cluster.beside import agents_of, site_of_each_node
from tests.cluster.recording import settled
from tests.conftest import StartBao
from tests.elections import step_down
from tests.faults.site import Ending, Running, Site
from tests.hosts import Hosts, NoNamespacesError
from tests.tcp_proxy import CuttingTcpProxy

from raft_snapshot_agent.core.snapshots.naming import parse
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import LOOPBACK, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SEED = 20261123
MOVES = 20
WAYS = ("step down", "kill", "suspend", "cut")
"""How the leader is lost; without network namespaces none is cut off."""
EVERY = timedelta(seconds=3)
SCHEDULE = {"every": f"{EVERY.seconds}s", "catch_up": False}
"""Nothing is missed while an agent runs, whoever leads."""
SECOND = timedelta(seconds=1)
"""A name tells its time no more exactly."""
SLOW = timedelta(seconds=3)
"""What a busy machine adds to the time between a moment and what is noticed of it."""


@dataclass(frozen=True, slots=True)
class Reign:
    """The time from one election to the next loss of the leader."""

    how: str
    """The last leader was lost."""
    lost: datetime
    elected: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """What one agent did."""

    taken: tuple[datetime, ...]
    failures: tuple[datetime, ...]


class Unrest:
    """Takes the leadership from whoever has it."""

    def __init__(
        self, cluster: OpenBaoCluster, hosts: Hosts | None, moments: random.Random
    ) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self._moments = moments
        self.frozen: list[tuple[int, datetime, datetime]] = []
        """Which node could not know that it leads no more, from when to when."""

    def reigns(self) -> Iterator[Reign]:
        """Move the leadership at random moments."""
        how, lost, elected = "start", _now(), _now()
        ways = WAYS if self._hosts else WAYS[:3]
        moves = [way for way, _ in zip(cycle(ways), range(MOVES), strict=False)]
        self._moments.shuffle(moves)
        for move in moves:
            time.sleep(self._moments.uniform(0.2, 2) * EVERY.total_seconds())
            yield Reign(how, lost, elected, _now())
            how, lost = move, _now()
            elected = self._moved(move)
        time.sleep(3 * EVERY.total_seconds())
        yield Reign(how, lost, elected, _now())

    def _moved(self, how: str) -> datetime:
        old = self._cluster.leader()
        match how:
            case "kill":
                old.kill()
                elected = self._elected()
                self._cluster.restart(old)
            case "suspend":
                since = _now()
                old.suspend()
                elected = self._elected()
                time.sleep(self._moments.uniform(0, 3))
                old.resume()
                self.frozen.append((self._cluster.nodes.index(old), since, _now()))
                old.wait_serving()
            case "cut" if self._hosts:
                since, number = _now(), self._cluster.nodes.index(old)
                self._hosts.cut(number)
                elected = self._elected(without=old)
                time.sleep(self._moments.uniform(0, 3))
                self._hosts.mend(number)
                self.frozen.append((number, since, _now()))
            case _:
                step_down(self._cluster)
                elected = _now()
        settled(self._cluster.nodes)
        self._cluster.wait_voters()
        return elected

    def _elected(self, without: OpenBaoNode | None = None) -> datetime:
        others = [node for node in self._cluster.nodes if node is not without]
        until(lambda: any(node.is_leader() for node in others), "another leads", within=60)
        return _now()


@pytest.fixture
def hosts() -> Iterator[Hosts | None]:
    """A host for each node; nothing where this machine lets us make none."""
    with ExitStack() as made:
        try:
            yield made.enter_context(Hosts(3))
        except NoNamespacesError as error:
            print(error)
            yield None


@pytest.fixture
def cluster(hosts: Hosts | None, bao3: StartBao) -> OpenBaoCluster:
    return bao3(hosts=hosts.hosts if hosts else ())


@pytest.fixture
def endpoint(seaweed: SeaweedFS, hosts: Hosts | None) -> Iterator[str]:
    """Where the agents find the bucket."""
    if hosts is None:
        yield seaweed.endpoint
        return
    parts = urlsplit(seaweed.endpoint)
    with CuttingTcpProxy(LOOPBACK, parts.port or 80, hosts.gateway) as proxy:
        yield proxy.address


@pytest.fixture
def sites(
    tmp_path: Path, seaweed: SeaweedFS, endpoint: str, bucket: str, cluster: OpenBaoCluster
) -> Iterator[list[Site]]:
    with site_of_each_node(cluster, tmp_path, seaweed, bucket) as sites:
        for site, node in zip(sites, cluster.nodes, strict=True):
            site.enter = node.host.enter
            site.vault |= {"timeout": "2s", "stall_timeout": "2s"}
            site.s3 |= {"endpoint": endpoint, "allow_http": True, "timeout": "2s"}
            site.more["schedule"] = SCHEDULE
        yield sites


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_however_often_the_leader_changes_each_interval_gets_one_snapshot(
    cluster: OpenBaoCluster, hosts: Hosts | None, sites: list[Site]
) -> None:
    settled(cluster.nodes)
    with agents_of(sites) as agents:
        until(sites[0].keys, "the first snapshot is stored", within=90)
        unrest = Unrest(cluster, hosts, random.Random(SEED))
        reigns = list(unrest.reigns())
        endings = [_ended(agent) for agent in agents]
    assert [ending.code for ending in endings] == [0, 0, 0], [ending.said for ending in endings]
    assert [site.leftovers() for site in sites] == [[], [], []]
    _everywhere_the_same(sites, endings)
    works = [_work(site, ending) for site, ending in zip(sites, endings, strict=True)]
    _show(works, reigns)
    _never_two(works, unrest)
    _never_none(works, reigns)
    _taken_over(_all_taken(works), reigns)


def _ended(agent: Running) -> Ending:
    assert agent.process.poll() is None, agent.said
    agent.process.terminate()
    return agent.ended()


def _everywhere_the_same(sites: list[Site], endings: list[Ending]) -> None:
    """Prove every snapshot whole, and in the bucket and in one folder, or that the log says why."""
    remote = set(sites[0].names()[1])
    folders = [set(site.names()[0]) for site in sites]
    for folder, ending in zip(folders, endings, strict=True):
        alone = [line for line in ending.said.splitlines() if "the snapshot in s3: " in line]
        assert len(folder - remote) <= len(alone), ending.said
    assert remote <= set().union(*folders)
    assert sum(map(len, folders)) == len(set().union(*folders))


def _work(site: Site, ending: Ending) -> Work:
    parsed = [parse(name) for name in site.names()[0]]
    lines = [line for line in ending.of_level("error") if "Snapshot failed: " in line]
    return Work(
        tuple(one.taken_at for one in parsed if one),
        tuple(datetime.fromisoformat(line.split(maxsplit=1)[0]) for line in lines),
    )


def _all_taken(works: list[Work]) -> list[datetime]:
    return sorted(one for work in works for one in work.taken)


def _never_two(works: list[Work], unrest: Unrest) -> None:
    """Leave out what a frozen node gave on waking, before it heard that another leads."""
    late = [
        one
        for number, since, until_then in unrest.frozen
        for one in works[number].taken
        if since - SECOND <= one <= until_then
    ]
    taken = _all_taken(works)
    for one in late:
        taken.remove(one)
    # One that comes late in its slot is followed by the next in its own: count over two slots.
    near = [(a, c) for a, _, c in zip(taken, taken[1:], taken[2:], strict=False)]
    assert [(a, c) for a, c in near if c - a < 2 * EVERY - 2 * SECOND] == []


def _never_none(works: list[Work], reigns: list[Reign]) -> None:
    """More than two intervals and an election apart only where none could be taken."""
    most = 2 * EVERY + SECOND + max(reign.elected - reign.lost for reign in reigns)
    failures = [one for work in works for one in work.failures]
    far = [(a, b) for a, b in pairwise(_all_taken(works)) if b - a > most]
    assert [gap for gap in far if not any(gap[0] <= one <= gap[1] for one in failures)] == []


def _taken_over(taken: list[datetime], reigns: list[Reign]) -> None:
    """Who leads takes the first one within an interval, and each further one in its own."""
    for reign in reigns:
        inside = [one for one in taken if reign.elected - SECOND <= one <= reign.ended]
        moments = [reign.elected, *inside, reign.ended]
        idle = [(a, b) for a, b in pairwise(moments) if b - a > EVERY + SLOW]
        assert idle == [], reign


def _show(works: list[Work], reigns: list[Reign]) -> None:
    taken = _all_taken(works)
    print("distances:", *(f"{(b - a).total_seconds():g}" for a, b in pairwise(taken)))
    events: list[tuple[datetime, str]] = []
    for number, work in enumerate(works):
        events += [(one, f"snapshot by {number}") for one in work.taken]
        events += [(one, f"failure of {number}") for one in work.failures]
    for reign in reigns:
        events += [(reign.lost, reign.how), (reign.elected, "elected")]
    for moment, what in sorted(events):
        print(f"{moment:%H:%M:%S.%f} {what}")


def _now() -> datetime:
    return datetime.now(UTC)
