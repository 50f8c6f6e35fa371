"""A world of hosts, one record and one storage, in which time passes only when told.

The lease's own coroutines run in it, one step after another: hosts are paused and killed, requests
and answers are lost or late, clocks run at different speeds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import AgentError, LeaseLost, NotLeader, StorageUnavailable
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.lease.holder import Lease

DURATION = 10.0
EVERY = 4 * DURATION
BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
_IN_TIME = DURATION / 4
"""Seconds that a host waits for an answer of the storage's."""
WELL = 0.0
"""A host that is sick until then is none."""

T = TypeVar("T")
Resume = Callable[[Any, Exception | None], None]


class Pause(Generic[T]):
    """What a coroutine waits for: it is told how to go on."""

    def __init__(self, start: Callable[[Resume], None]) -> None:
        self.start = start

    def __await__(self) -> Generator[Pause[T], T, T]:
        return (yield self)


@dataclass(frozen=True, slots=True)
class Faults:
    """How bad the world is; each is a probability."""

    lost: float = 0.1
    late: float = 0.1
    until: float = 20 * DURATION
    """The world is well from then on."""


@dataclass(slots=True)
class Store:
    """What lies in the storage, and who completed which slot."""

    data: dict[str, float] = field(default_factory=dict)
    """By name, when it was taken."""
    manifests: set[str] = field(default_factory=set)
    completed: dict[int, dict[str, float]] = field(default_factory=dict)
    """By slot, who completed it, in which tenure, and when."""

    def put(self, name: str, taken_at: float) -> None:
        self.data[name] = taken_at

    def vouch(self, name: str, who: str, now: float) -> None:
        self.manifests.add(name)
        if name in self.data:
            by = self.completed.setdefault(int(self.data[name] // EVERY), {})
            by.setdefault(who, now)

    def withdraw(self, name: str) -> None:
        self.data.pop(name, None)

    def newest(self) -> float:
        return max((self.data[name] for name in self.manifests & self.data.keys()), default=-1.0)


class World:
    """Time, the record, the storage, and what happens next."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.now = 0.0
        self.found: Versioned | None = None
        self.store = Store()
        self.hosts: list[Host] = []
        self.leader: int | None = None
        """Whose node leads; nobody minds while it is nothing."""
        self.sick: dict[int, float] = {}
        """Until when a host's snapshots fail."""
        self.gave_away = 0
        self.recorded: set[str] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def run(self, end: float, check: Callable[[], None]) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            check()

    def call(self, landed: Callable[[], T], within: float = _IN_TIME) -> Pause[T]:
        """Ask over the network: it may land late, or never, and the answer may be lost."""
        return Pause(lambda resume: self._ask(landed, within, resume))

    def _ask(self, landed: Callable[[], T], within: float, resume: Resume) -> None:
        bad = self.now < self.faults.until
        there, back = self._delay(bad), self._delay(bad)
        fate = self.random.random() / self.faults.lost if bad and self.faults.lost else 9.0
        deadline = self.now + within
        failure = StorageUnavailable("no answer")
        if fate < 0.5:
            self.at(deadline, lambda: resume(None, failure))
            return

        def land() -> None:
            answer = landed()
            arrives = self.now + back
            if fate >= 1 and arrives <= deadline:
                self.at(arrives, lambda: resume(answer, None))

        if fate < 1 or self.now + there + back > deadline:
            self.at(deadline, lambda: resume(None, failure))
        self.at(self.now + there, land)

    def _delay(self, bad: bool) -> float:
        if bad and self.random.random() < self.faults.late:
            return self.random.uniform(0, 3 * DURATION)
        return self.random.uniform(0, DURATION / 50)

    def swap(self, record: Record, expected: str | None) -> str | None:
        if expected != (self.found and self.found.version):
            return None
        self.found = Versioned(record, str(next(self._numbers)))
        self.recorded.update(record.stored.values())
        return self.found.version


@dataclass(frozen=True, slots=True)
class Remote:
    """The record, as a host that waits so long for an answer reaches it."""

    world: World
    within: float
    location = "the shelf"

    async def read(self) -> Versioned | None:
        found: Versioned | None = await self.world.call(lambda: self.world.found, self.within)
        return found

    async def write(self, record: Record, expected: str | None) -> str | None:
        swap = partial(self.world.swap, record, expected)
        version: str | None = await self.world.call(swap, self.within)
        return version

    async def close(self) -> None: ...


class Host:
    """One agent's host: its clock, its lease, and its work."""

    def __init__(self, world: World, name: str, number: int, duration: float) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.duration = duration
        self.alive = True
        self._paused_until = 0.0
        self._speed = world.random.uniform(0.97, 1.03)
        self._ahead = world.random.uniform(0, 1000)
        self.lease = Lease(
            Remote(world, duration / 4),
            name,
            timedelta(seconds=duration),
            candidacy=Candidacy(qualify=self.qualify),
            clock=Clock(
                now=lambda: self._ahead + world.now * self._speed,
                sleep=self.sleep,
                spread=world.random.random,
                date=lambda: BEGIN,
            ),
        )
        self._start(self.lease.keep())
        self._start(self.work())

    async def qualify(self) -> None:
        """Raise that another node leads."""
        await self.sleep(DURATION / 100)
        if self.world.leader not in {None, self.number}:
            raise NotLeader("another node leads")

    def pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self.world.now + seconds)

    def sleep(self, seconds: float) -> Pause[None]:
        ends = self.world.now + seconds / self._speed
        return Pause(lambda resume: self.world.at(ends, lambda: resume(None, None)))

    def _start(self, task: Coroutine[Any, Any, None]) -> None:
        self._go_on(task, None, None)

    def _go_on(self, task: Coroutine[Any, Any, None], value: Any, error: Exception | None) -> None:
        if not self.alive:
            task.close()
            return
        if self.world.now < self._paused_until:
            self.world.at(self._paused_until, lambda: self._go_on(task, value, error))
            return
        pause = task.send(value) if error is None else task.throw(error)
        pause.start(lambda value, error: self._go_on(task, value, error))

    async def work(self) -> None:
        """Do what the agent does: look what is due, store, have it confirmed, vouch for it."""
        term, served = 0, -1
        while True:
            await self.sleep(DURATION / 20)
            held_lease = self.lease.held_lease
            if held_lease is None:
                continue
            if held_lease.term != term:
                try:
                    newest = await self.world.call(self.world.store.newest)
                except AgentError:
                    continue
                term, served = held_lease.term, int(max(newest, self._recorded()) // EVERY)
            if self.world.now // EVERY > served and self.world.leader in {None, self.number}:
                served = await self._try_to_serve(held_lease)
                term = term if served >= 0 else 0

    async def _try_to_serve(self, held_lease: HeldLease) -> int:
        try:
            with self.lease.in_use():
                served = await self._serve(held_lease)
        except LeaseLost:
            return -1
        except AgentError:
            await self.lease.count(failed=True)
            self.world.gave_away += self.lease.held_lease is None
            return -1
        await self.lease.count(failed=False)
        return served

    def _recorded(self) -> float:
        moments = self.lease.stored.values()
        return max(((one - BEGIN).total_seconds() for one in moments), default=-1.0)

    async def _serve(self, held_lease: HeldLease) -> int:
        world, taken_at = self.world, self.world.now
        moment = BEGIN + timedelta(seconds=taken_at)
        name = moment.isoformat()
        await self.sleep(world.random.uniform(0, DURATION / 2))
        held_lease.insist()
        if world.now < world.sick.get(self.number, WELL):
            raise StorageUnavailable("it cannot be reached from here")
        await world.call(lambda: world.store.put(name, taken_at))
        try:
            await held_lease.confirm("disk", moment)
        except LeaseLost:
            await world.call(lambda: world.store.withdraw(name))
            raise
        who = f"{self.name} in {held_lease.term}"
        await world.call(lambda: world.store.vouch(name, who, world.now))
        return int(taken_at // EVERY)
