"""What a storage contains, by its listing and the manifests of its newest snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.adversary.history import manifest_for
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import NewestJudged, judge_newest

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
CONTENT = b"snapshot"


class Counting(MemoryStorage):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self.asked.append(name)
        async for piece in super().read(name):
            yield piece


def named(hours: int) -> str:
    return f"raft-snapshot-{NOW - timedelta(hours=hours):%Y%m%dT%H%M%SZ}-i7-0a1b2c.snap"


@pytest.fixture
def storage() -> Counting:
    made = Counting()
    for hours in range(-1, 100):
        name = named(hours)
        made._objects[name] = CONTENT
        made._objects[f"{name}.json"] = manifest_for(name, CONTENT).to_json()
    return made


async def judged(storage: MemoryStorage) -> NewestJudged:
    destination = Destination("one", storage)
    return await judge_newest(destination, await destination.stored(), NOW)


async def test_one_manifest_is_read_of_many(storage: Counting) -> None:
    found = await judged(storage)
    assert storage.asked == [f"{named(0)}.json"], "what is dated in the future proves nothing"
    assert found.contradicted == ()
    assert found.manifest is not None
    assert all(one.proved for one in found.stored)


async def test_it_goes_back_to_the_first_that_agrees(storage: Counting) -> None:
    storage._objects[named(0)] = b"cut"
    storage._objects[f"{named(1)}.json"] = b"{not json"
    storage._objects[f"{named(2)}.json"] = manifest_for(named(9), CONTENT).to_json()
    storage._objects[Sidecar.BROKEN.name_for(named(3))] = b""
    storage._objects[Sidecar.MISMATCH.name_for(named(4))] = b""
    for beside in (Sidecar.BROKEN, Sidecar.MISMATCH):
        storage._objects[beside.name_for(named(5))] = b""
    found = await judged(storage)
    assert [one.name for one in found.contradicted] == [named(hours) for hours in (0, 1, 2, 4)]
    assert [one.name for one in found.stored if not one.proved] == [named(0), named(1), named(2)]
    assert storage.asked == [f"{named(hours)}.json" for hours in (0, 1, 2, 6)]


async def test_without_a_manifest_nothing_contradicts(storage: Counting) -> None:
    del storage._objects[f"{named(0)}.json"]
    found = await judged(storage)
    assert (found.contradicted, found.manifest, storage.asked) == ((), None, [])


async def test_the_manifest_of_one_it_does_not_describe_is_none_of_the_newest(
    storage: Counting,
) -> None:
    storage._objects[named(0)] = b"cut"
    del storage._objects[f"{named(1)}.json"]
    found = await judged(storage)
    assert ([one.name for one in found.contradicted], found.manifest) == ([named(0)], None)


async def test_not_all_are_read_if_none_agrees(storage: Counting) -> None:
    for hours in range(100):
        storage._objects[named(hours)] = b"cut"
    assert len((await judged(storage)).contradicted) == len(storage.asked) == 20


async def test_one_that_is_replaced_is_not_compared() -> None:
    """Its manifest is written after it."""
    storage = Counting()
    storage._objects = {
        "latest.snap": b"newer than its manifest",
        "latest.snap.json": manifest_for(named(0), CONTENT).to_json(),
    }
    destination = Destination("one", storage, static_name="latest.snap")
    found = await judge_newest(destination, await destination.stored(), NOW)
    assert found.contradicted == ()
