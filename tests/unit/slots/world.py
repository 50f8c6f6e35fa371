"""A daemon over many slots whose time passes only while it rests, before storages that fail.

The daemon, the agent, its spool and its verifier are the real ones; the server is not. What is
injected is one fault at one step of a delivery, for one call or for several slots.
"""

from __future__ import annotations

import asyncio
import io
import selectors
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import anyio
import anyio.lowlevel
import stamina
from tests.unit.core.archives import archive, members, meta

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.leases.lease import LeaseStore
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT, Naming, parse, snapshot_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.service import cluster_loop, events
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon
from raft_snapshot_agent.service.wall_clock import WallClockWatch
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.retrying import RetryingStorage
from raft_snapshot_agent.vault.answers import Identity
from raft_snapshot_agent.vault.leader import Leader

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)
EVERY = timedelta(hours=1)
LAST = 2
STEPS = ("put", "manifest", "guard", "list", "read", "delete", "sweep")
WAYS = ("refused", "unavailable", "lost", "hanging", "wrong")
KILLS = ("killed before", "killed after")
_HANGS = timedelta(seconds=60)
_GLANCE = 60.0
"""Seconds between two looks at the world."""


class _Selector:
    """Lets the time jump where nothing is under way and nobody has anything to say."""

    def __init__(self, world: World) -> None:
        self._real = selectors.DefaultSelector()
        self.world = world

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self.world.busy:
            return self._real.select(timeout)
        if found := self._real.select(0):
            return found
        self.world.offset += timeout
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, world: World) -> None:
        super().__init__(_Selector(world))  # type: ignore[arg-type]
        self.world = world

    def time(self) -> float:
        return self.world.offset


@dataclass
class Fault:
    """What goes wrong at one step of the deliveries into one storage."""

    step: str
    way: str
    begin: float
    """In slots from the beginning; it strikes from then on."""
    calls: int
    """How often it strikes."""
    end: float = float("inf")
    struck: int = 0

    def strikes(self, step: str, slot: float) -> bool:
        if step != self.step or self.struck >= self.calls or not self.begin <= slot < self.end:
            return False
        self.struck += 1
        return True


@dataclass
class Copy:
    """One snapshot that came to lie in a storage."""

    name: str
    appeared: datetime
    gone: datetime | None = None


class Faulty:
    """A storage with the same verbs, which fail as they are told to."""

    def __init__(self, storage: Storage, world: World) -> None:
        self.real = storage
        self.world = world
        self.faults: list[Fault] = []
        self.copies: list[Copy] = []
        self.puts = 0

    @property
    def kind(self) -> str:
        return self.real.kind

    def location(self, name: str) -> str:
        return self.real.location(name)

    async def put(self, name: str, source: UploadSource) -> int:
        step = "guard" if name == GUARD_NAME else "put"
        if snapshot_name(name) != name:
            step = "manifest"
        way = self._way(step)
        self.puts += step == "put"
        await self.world.kill_if(way == "killed before")
        if way in {"refused", "unavailable"}:
            source.follow(0)
            raise self._failure(way, step)
        try:
            size = await self.real.put(name, source)
        finally:
            await self._note(name)
        await self.world.kill_if(way == "killed after")
        if way in {"lost", "hanging"}:
            raise self._failure(way, step)
        return size - 1 if way == "wrong" else size

    async def entries(self) -> list[Entry]:
        way = self._way("list")
        await self.world.kill_if(way in KILLS)
        if way:
            raise self._failure(way, "list")
        return await self.real.entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        way = self._way("read")
        await self.world.kill_if(way in KILLS)
        if way == "wrong":
            yield b"<html>"
            return
        if way:
            raise self._failure(way, "read")
        async for piece in self.real.read(name):
            yield piece

    async def delete(self, name: str) -> None:
        way = self._way("delete")
        await self.world.kill_if(way == "killed before")
        if way in {"refused", "unavailable"}:
            raise self._failure(way, "delete")
        await self.real.delete(name)
        self._forget(name)
        await self.world.kill_if(way == "killed after")
        if way:
            raise self._failure(way, "delete")

    async def sweep(self, leftovers: Leftovers) -> int:
        way = self._way("sweep")
        await self.world.kill_if(way in KILLS)
        if way:
            raise self._failure(way, "sweep")
        return await self.real.sweep(leftovers)

    def _way(self, step: str) -> str:
        slot = self.world.slot()
        return next((one.way for one in self.faults if one.strikes(step, slot)), "")

    def _failure(self, way: str, step: str) -> StorageError:
        match way:
            case "refused":
                return StorageDenied(f"{step} is not allowed")
            case "wrong":
                return StorageError(f"the answer to {step} makes no sense")
            case "hanging":
                self.world.offset += _HANGS.total_seconds()
        return StorageUnavailable(f"no answer to {step}")

    async def _note(self, name: str) -> None:
        """Note a snapshot that appeared, also one whose writer was killed a moment later."""
        with anyio.CancelScope(shield=True):
            names = [entry.name for entry in await self.real.entries()]
        if name in names and snapshot_name(name) == name != GUARD_NAME:
            self._forget(name)
            self.copies.append(Copy(name, self.world.now()))

    def _forget(self, name: str) -> None:
        for copy in self.copies:
            if copy.name == name and copy.gone is None:
                copy.gone = self.world.now()


class _Stream:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        yield self._content

    def stop(self) -> None: ...


@dataclass
class World:
    """The time, the server, and the storages; daemons come and go."""

    root: Path
    naming: Naming = AGENT
    offset: float = 0.0
    busy: int = 0
    asked: int = 0
    """How often the server was asked for a snapshot."""
    storages: dict[str, Faulty] = field(default_factory=dict)
    said: io.StringIO = field(default_factory=io.StringIO)
    errors: tuple[Exception, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    record: LeaseStore | None = None
    """Keeps the record of a lease, where the agent is to have one."""
    _alive: anyio.CancelScope | None = None

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.offset)

    def slot(self) -> float:
        """Return the time in slots since the beginning."""
        return timedelta(seconds=self.offset) / EVERY

    def add(self, name: str, storage: Storage, **options: Any) -> Faulty:
        self.storages[name] = Faulty(storage, self)
        self.options[name] = options
        return self.storages[name]

    # What the agent takes for its cluster.

    @property
    def session(self) -> Any:
        return SimpleNamespace(seconds_to_renewal=lambda: float("inf"), left_behind=[])

    def find_leader_for_this_agent(self) -> Leader:
        node: Any = SimpleNamespace(address="https://bao:8200")
        return Leader(node, 1, "", Identity(cluster_id="one", product="openbao"))

    def open_snapshot(self, _: Leader) -> Any:
        self.asked += 1
        return _Stream(archive(members(meta(Index=100 + self.asked))))

    def keep_token(self) -> None: ...

    is_login_check_due = False

    def revoke_token(self) -> None: ...
    def close(self) -> None: ...

    def agent(self) -> Agent:
        destinations = [
            Destination(
                name, RetryingStorage(storage), Retention(last=LAST), naming=self.naming, **options
            )
            for (name, storage), options in zip(
                self.storages.items(), self.options.values(), strict=True
            )
        ]
        cluster: Any = self
        return _Busy(
            self,
            cluster,
            destinations,
            naming=self.naming,
            spool=self.root,
            deadline=60,
            clock=self.now,
            lease=self._lease(),
        )

    def _lease(self) -> Lease | None:
        if self.record is None:
            return None
        clock = Clock(lambda: self.offset, self._pass, lambda: 0.5, self.now)
        return Lease(self.record, f"agent-{self.offset}", timedelta(minutes=10), clock=clock)

    async def _pass(self, seconds: float) -> None:
        self.offset += seconds
        await anyio.lowlevel.checkpoint()

    async def live(self, until: Callable[[], bool], **timing: Any) -> None:
        """Let a daemon of its own run until something is so, and kill it."""
        with redirect_stderr(self.said):
            service = ActiveCluster(
                self.agent(), ScheduleSpec(Every(EVERY), **timing), configure("text", "info")
            )
            daemon = Daemon(ActiveConfig({"": service}, service.log), clock=self.now)
            async with anyio.create_task_group() as tasks:
                self._alive = tasks.cancel_scope
                tasks.start_soon(daemon.run)
                while not until():  # noqa: ASYNC110 - it is the world that is looked at
                    await anyio.sleep(_GLANCE)
                tasks.cancel_scope.cancel()

    async def kill_if(self, so: bool) -> None:
        """End the daemon in the middle of what it does."""
        if so and self._alive is not None:
            self._alive.cancel()
            await anyio.sleep_forever()

    async def rest(self, pause: timedelta) -> None:
        """Let time pass while no daemon runs."""
        self.offset += pause.total_seconds()

    def run(self, work: Callable[[], Any]) -> None:
        """Run a coroutine in this world."""
        watch = partial(WallClockWatch, uptime=lambda: timedelta(seconds=self.offset))
        with (
            mock.patch.object(events, "WallClockWatch", watch),
            mock.patch.object(cluster_loop, "SLICE", 10 * _GLANCE),
            mock.patch.object(events, "SLICE", 10 * _GLANCE),
            stamina.set_testing(True, attempts=3, cap=True),
            asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner,
        ):
            runner.run(work())


class _Busy(Agent):
    """Time stands still for the world while this agent works."""

    def __init__(self, world: World, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.world = world

    async def run_once(self, *args: Any, **options: Any) -> Any:
        with self._working():
            return await super().run_once(*args, **options)

    async def list_taken(self) -> dict[str, list[datetime]]:
        with self._working():
            return await super().list_taken()

    async def sweep(self) -> dict[str, str]:
        with self._working():
            return await super().sweep()

    async def leave(self) -> None:
        with self._working():
            await super().leave()

    @contextmanager
    def _working(self) -> Iterator[None]:
        self.world.busy += 1
        try:
            yield
        finally:
            self.world.busy -= 1


def taken_at(copy: Copy, naming: Naming) -> datetime:
    parsed = parse(copy.name, naming)
    assert parsed is not None
    return parsed.taken_at


def in_slot(storage: Faulty, number: int) -> list[Copy]:
    """List the copies of a slot that its end finds in a storage, or that retention took away."""
    begin, end = BEGIN + number * EVERY, BEGIN + (number + 1) * EVERY
    return [
        copy
        for copy in storage.copies
        if begin <= taken_at(copy, storage.world.naming) < end
        and (copy.gone is None or copy.gone >= end)
    ]


def present(storage: Faulty) -> list[Copy]:
    return [copy for copy in storage.copies if copy.gone is None]


def most_at_once(storage: Faulty) -> list[int]:
    """Count the copies at each moment when one appeared, that one included."""
    return [
        sum(
            other.appeared <= copy.appeared and (other.gone is None or other.gone > copy.appeared)
            for other in storage.copies
        )
        for copy in storage.copies
    ]
