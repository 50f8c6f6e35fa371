from __future__ import annotations

from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.wrappers.rate_limited import PacedSource, RateLimitedStorage


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.longest = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.now += seconds


def test_bytes_come_no_faster_than_allowed() -> None:
    clock = Clock()
    content = bytes(range(256)) * 4096  # 1 MiB
    source = PacedSource(BytesSource(content), 100_000, clock=clock.time, sleep=clock.sleep)
    read = b""

    while piece := source.read(len(read), 1 << 22):
        read += piece

    assert read == content
    seconds = clock.now - 100.0
    assert 0.95 * len(content) <= seconds * 100_000 <= len(content)
    assert clock.longest <= 0.3  # a cancelled upload is not held up


def test_what_a_slow_storage_left_unused_is_not_made_up_for() -> None:
    clock = Clock()
    source = PacedSource(BytesSource(bytes(1000_000)), 100_000, clock=clock.time, sleep=clock.sleep)
    source.read(0, 25_000)
    clock.now += 60

    before = clock.now
    for number in range(1, 9):
        source.read(number * 25_000, 25_000)

    assert clock.now - before >= 1.75


async def test_a_paced_storage_is_the_same_storage() -> None:
    inner = MemoryStorage()
    storage = RateLimitedStorage(inner, 1 << 30)

    assert await storage.put("a.snap", BytesSource(b"whole")) == 5
    assert [entry.name for entry in await storage.entries()] == ["a.snap"]
    assert b"".join([piece async for piece in storage.read("a.snap")]) == b"whole"
    assert (storage.kind, storage.location("a.snap")) == (inner.kind, inner.location("a.snap"))
    await storage.delete("a.snap")
    assert await inner.entries() == []
