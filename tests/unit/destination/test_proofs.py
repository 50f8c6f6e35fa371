"""How many manifests are read, and how many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
from tests.adversary.history import KEYS, manifest_for
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.storage.base import BytesSource

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


class Counting(MemoryStorage):
    """A storage that counts its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.read_at_once = self.most_at_once = self.reads = 0

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self.reads += 1
        self.read_at_once += 1
        self.most_at_once = max(self.most_at_once, self.read_at_once)
        await anyio.lowlevel.checkpoint()
        self.read_at_once -= 1
        async for piece in super().read(name):
            yield piece


async def unsigned() -> Counting:
    storage = Counting()
    for hours in range(64):
        name = AGENT.name(AGENT.run(NOW - timedelta(hours=hours), "0a1b2c"), 4711 - hours)
        await storage.put(name, BytesSource(name.encode()))
        told = manifest_for(name, name.encode())
        await storage.put(manifest_name(name), BytesSource(told.to_json()))
    return storage


async def test_with_a_new_key_manifests_are_read_several_at_once() -> None:
    storage = await unsigned()
    place = Destination("s3", storage, signing=lambda: KEYS)

    judge = await place.proofs.judge(await place.stored())

    assert judge.accepted is None, "all are from before there was a key"
    assert storage.reads == 64
    assert storage.most_at_once == 8
