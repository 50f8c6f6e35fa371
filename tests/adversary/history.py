"""One storage over many runs: an agent that works, and somebody who may create objects there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.stores.memory import MemoryStorage
from tests.unit.core.archives import members, meta, packed, tar, verified

from raft_snapshot_agent.backup import finish, lookup
from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.core.history.flood import Pace
from raft_snapshot_agent.core.history.guard import Losses
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Every, Schedule
from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name, parse
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.storage.base import BytesSource

BEGIN = datetime(2026, 11, 2, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = Retention(last=5, hourly=8, daily=4, weekly=2, monthly=2, min_keep=2)
EXTRA = 8
KEYS = SigningKeys(b"k" * 32)
TERM = 3


def manifest_for(name: str, content: bytes, node: str = "https://bao:8200") -> Manifest:
    """Describe a snapshot so that name, size, index and time agree."""
    parsed = parse(name)
    assert parsed is not None
    return Manifest(
        snapshot=name,
        taken_at=f"{parsed.taken_at:%Y-%m-%dT%H:%M:%SZ}",
        index=parsed.index or 0,
        term=TERM,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        duration=1.0,
        cluster_id="one",
        cluster_name="",
        product="openbao",
        version="2.7.2",
        node=node,
        agent_version="0",
    )


def archive_of(index: int, written_at: datetime | None = None) -> bytes:
    """Make a whole archive; of the time when it was written it may tell nothing."""
    seconds = 0 if written_at is None else int(written_at.timestamp())
    return packed(tar(members(meta(Index=index)), seconds))


@dataclass
class Site:
    """A storage and its agent."""

    keys: SigningKeys | None = None
    policy: Retention = POLICY
    extra: int = EXTRA
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    pace: Schedule = field(default_factory=lambda: Every(HOUR))
    runs: int = 0
    elapsed: float = 0.0
    """Hours since the beginning."""
    good: dict[str, bytes] = field(default_factory=dict)
    """What the agent stored, with its manifest."""
    alarms: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    """How many each run deleted."""
    fresh: bool = True
    """Whether each run is of a process of its own, as under cron."""
    _place: Destination | None = field(default=None, init=False)

    @property
    def now(self) -> datetime:
        return BEGIN + self.elapsed * HOUR

    @property
    def destination(self) -> Destination:
        if self._place is None or self.fresh:
            self._place = Destination(
                "memory",
                self.storage,
                self.policy,
                signing=None if self.keys is None else self.signing,
                pace=Pace(self.pace, self.extra),
                losses=Losses(0.5),
            )
        return self._place

    def copy(self) -> Site:
        """Return one of its own in the same state."""
        storage = MemoryStorage()
        storage._objects = dict(self.storage._objects)
        return replace(self, storage=storage, good=dict(self.good), alarms=[], warnings=[])

    def signing(self) -> SigningKeys:
        assert self.keys is not None
        return self.keys

    async def run(self, after: float = 1.0, run: str = "abcdef") -> Delivery:
        """Take a snapshot, as the agent does once it is stored, and let time pass.

        Arguments:
            after: Hours to the next.
            run: Tells it from another of the same second.
        """
        index = 1000 + int(10 * self.elapsed)
        name = AGENT.name(AGENT.run(self.now, run), index)
        state = name.encode()
        parts = members(meta(Index=index, Size=len(state)), state)
        done = await self.take(name, packed(tar(parts, 0)))
        self.elapsed += after
        return done

    async def take(self, name: str, content: bytes) -> Delivery:
        destination, clock = self.destination, lambda: self.now
        told = replace(manifest_for(name, content), clock="host", began=3600.0 * self.elapsed)
        told = replace(told, ended=told.began + 1, term=verified(content).meta.term)
        await self.storage.put(name, BytesSource(content))
        before = await lookup.read_history(destination, Instant(told.clock, told.began), self.now)
        delivery = Delivery("memory", "memory")
        done = await finish.finish(destination, told, before, delivery, Unsettled(), clock)
        self.good[name] = content
        self.deleted.append(len(done.deleted))
        self.alarms += [done.alarm] if done.alarm else []
        self.warnings += done.warnings
        self.runs += 1
        return done

    async def names(self) -> set[str]:
        return {entry.name for entry in await self.storage.entries()}

    async def held(self) -> set[str]:
        """List the good snapshots that are still there, unchanged."""
        found = set()
        for name in await self.names() & self.good.keys():
            content = b"".join([piece async for piece in self.storage.read(name)])
            if content == self.good[name]:
                found.add(name)
        return found

    async def add(self, name: str, content: bytes) -> None:
        """Create an object, as somebody who cannot replace any."""
        if name not in await self.names():
            await self.storage.put(name, BytesSource(content))

    async def forge(self, name: str, content: bytes, **lies: object) -> None:
        """Create a snapshot with a manifest that agrees but for the lies."""
        await self.add(name, content)
        told = replace(manifest_for(name, content), **lies)  # type: ignore[arg-type]
        await self.add(manifest_name(name), told.to_json())
