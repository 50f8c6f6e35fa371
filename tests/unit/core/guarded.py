"""A simulated cluster, its agents, and the clocks on their hosts, for the guard to watch."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from raft_snapshot_agent.core.history.guard import Judgement, Losses, Point, judge, suspects
from raft_snapshot_agent.core.snapshots.notes import Restored
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

START = datetime(2026, 11, 23, tzinfo=UTC)
_READ = 10


def listed(manifest: Manifest) -> Stored:
    """What a listing tells of it."""
    taken_at = datetime.fromisoformat(manifest.taken_at)
    return Stored(manifest.snapshot, taken_at, manifest.size, manifest.index, verified=True)


@dataclass
class Host:
    """A member and the agent beside it, with clocks of their own."""

    number: int
    ahead: float
    """Seconds its wall clock is ahead of the true time."""
    index: int = 0
    """What the member holds; of a frozen one, from before."""
    term: int = 1
    leading_since: float = 0.0
    frozen: bool = False


@dataclass
class World:
    """One cluster with three members, agents beside them, and one storage."""

    moments: random.Random
    skew: float
    cluster_id: str = "one"
    now: float = 1000.0
    index: int = 100
    term: int = 1
    leader: int = 0
    hosts: list[Host] = field(default_factory=list)
    stored: list[Manifest] = field(default_factory=list)
    """In the order in which they were stored."""

    def __post_init__(self) -> None:
        uniform = self.moments.uniform
        self.hosts = [Host(number, uniform(-self.skew, self.skew)) for number in range(3)]
        self.elect(0)

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and the cluster write."""
        self.now += seconds
        self.index += self.moments.randrange(0, 5)
        self._follow()

    def elect(self, number: int) -> None:
        """Let another member lead; it writes at once, as a real one does."""
        self.leader = number
        self.term += 1
        self.index += 2
        self.hosts[number].leading_since = self.now
        self._follow()

    def _follow(self) -> None:
        for host in self.hosts:
            if not host.frozen:
                host.index, host.term = self.index, self.term

    def begin(self, host: Host) -> Manifest:
        """Ask a member for a snapshot; what it holds at this moment is what comes."""
        wall = START + timedelta(seconds=self.now + host.ahead)
        return Manifest(
            snapshot=f"{len(self.stored)}-{host.number}-{self.now:.3f}",
            taken_at=f"{wall:%Y-%m-%dT%H:%M:%SZ}",
            index=host.index,
            term=host.term,
            size=1000,
            sha256="",
            duration=0.0,
            cluster_id=self.cluster_id,
            cluster_name="",
            product="openbao",
            version="2.7.2",
            node=f"https://{host.number}",
            agent_version="",
            clock=f"host {host.number}",
            began=self.now + 50 * host.number,
            leading_since=(START + timedelta(seconds=host.leading_since + host.ahead)).isoformat(),
        )

    def complete(self, begun: Manifest, took: float, restored: Restored | None = None) -> Judgement:
        """Store it, and hold it against what is there as the agent does."""
        done = replace(begun, ended=begun.began + took, duration=took)
        found = judge(self.others(done), Point.of(done), Losses(0.5), restored)
        history = done.snapshot if found.alarm or found.restored else self._history()
        self.stored.append(replace(done, history=history))
        return found

    def others(self, now: Manifest) -> list[Point]:
        """Choose what a storage's guard reads, by time of names, newest first."""
        asked = Point.of(now).span
        newest = sorted(self.stored, key=lambda one: (one.taken_at, one.index), reverse=True)
        points: list[Point] = []
        for place, one in enumerate(newest[:_READ]):
            points.append(point := Point.of(one))
            if point.span.precedes(asked):
                older = {listed(other): Point.of(other) for other in newest[place + 1 :]}
                more = [older[other] for other in suspects([*older], point)]
                return points + [other for other in more if other.history == point.history]
        return points

    def _history(self) -> str:
        newest = max(self.stored, key=lambda one: (one.taken_at, one.index), default=None)
        return newest.history if newest else ""
