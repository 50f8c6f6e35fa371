"""One snapshot per slot and storage while the record of the lease fails, is late, or lies."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.slots.test_interleavings import SLOTS, judge
from tests.unit.slots.world import Fault, World

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import StorageDenied, StorageUnavailable

WAYS = ("refused", "unavailable", "lost", "wrong")
STEPS = ("read", "write")


class FaultyRecord:
    """A record in memory, whose reads and writes fail as they are told to."""

    location = "memory:raft-snapshot-lease.json"

    def __init__(self, world: World, faults: list[Fault]) -> None:
        self._world = world
        self._faults = faults
        self._found: Versioned | None = None
        self._version = 0

    async def read(self) -> Versioned | None:
        match self._way("read"):
            case "refused":
                raise StorageDenied("the record may not be read")
            case "unavailable" | "lost":
                raise StorageUnavailable("the record does not answer")
            case "wrong":
                return Versioned(Record.from_json(b"no record"), "damaged")
        return self._found

    async def write(self, record: Record, expected: str | None) -> str | None:
        way = self._way("write")
        if way == "refused":
            raise StorageDenied("the record may not be written")
        if way == "unavailable":
            raise StorageUnavailable("the record does not answer")
        present = None if self._found is None else self._found.version
        if expected != present or way == "wrong":
            return None
        self._version += 1
        self._found = Versioned(record, str(self._version))
        if way == "lost":
            raise StorageUnavailable("the answer was lost")
        return self._found.version

    async def close(self) -> None: ...

    def _way(self, step: str) -> str:
        strikes = (one.way for one in self._faults if one.strikes(step, self._world.slot()))
        return next(strikes, "")


NOT_STORED, LOST = "Could not store", "lost the lease"


def _faults(chance: random.Random) -> list[Fault]:
    faults = []
    for _ in range(chance.choice([1, 2, 3])):
        begin = chance.choice([1.0, 2.0, 3.0, chance.uniform(1, 4)])
        calls = chance.choice([1, 2, 3, 10, 10_000])
        end = begin + chance.choice([0.05, 0.2, 0.4])
        faults.append(Fault(chance.choice(STEPS), chance.choice(WAYS), begin, calls, end))
    return faults


def _is_over(world: World) -> bool:
    return world.slot() >= SLOTS - 0.1


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(6), id="few"),
        pytest.param(range(6, 60), id="many", marks=pytest.mark.soak),
    ],
)
def test_what_the_record_does_costs_no_slot_and_makes_no_copy(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        world = World(tmp_path / str(seed))
        world.root.mkdir()
        world.add("good", MemoryStorage())
        world.add("bad", MemoryStorage())
        faults = _faults(random.Random(seed))
        world.record = FaultyRecord(world, faults)
        world.run(partial(world.live, partial(_is_over, world)))
        said = world.said.getvalue()
        assert "Acquired the lease" in said
        # The storages do all that they are asked for: only a lost lease takes a snapshot back.
        assert [line for line in said.splitlines() if NOT_STORED in line and LOST not in line] == []
        try:
            judge(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {faults}: {error}") from error
