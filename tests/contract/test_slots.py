"""One snapshot per slot in each real storage, whatever fails at whichever step."""

from __future__ import annotations

import gc
import random
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.destinations import Memory, Place
from tests.stores.memory import MemoryStorage
from tests.unit.slots.world import KILLS, LAST, STEPS, WAYS, Fault, World, in_slot, present

from raft_snapshot_agent.core.snapshots.naming import parse

SLOTS = 6
BAD = (1.0, 4.0)


def lived(destination: Place, root: Path, prefix: str, faults: list[Fault]) -> World:
    """Let daemons live with one real storage that fails, and another that does not."""
    world = World(root)
    root.mkdir()
    world.add("good", MemoryStorage())
    world.add("bad", destination.open(prefix)).faults = faults

    async def lives() -> None:
        while world.slot() < SLOTS - 0.5:
            await world.live(lambda: world.slot() >= SLOTS - 0.1)
            await world.rest(timedelta(seconds=30))

    world.run(lives)
    return world


def judge(world: World, destination: Place, prefix: str) -> None:
    good, bad = world.storages.values()
    assert [len(in_slot(good, slot)) for slot in range(SLOTS)] == [1] * SLOTS
    counts = [len(in_slot(bad, slot)) for slot in range(SLOTS)]
    assert max(counts) == 1, counts
    barred = any(fault.step == "put" and fault.calls > 3 for fault in bad.faults)
    assert barred or counts == [1] * SLOTS
    keys = destination.keys()
    names = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    assert {name for name in names if parse(name)} == {copy.name for copy in present(bad)}
    assert len(present(bad)) == LAST
    assert destination.pending() == []


def test_one_snapshot_per_slot(destination: Place, tmp_path: Path) -> None:
    if isinstance(destination, Memory):
        return  # the interleavings have it
    faults = [
        Fault("put", "lost", 1.0, 3),
        Fault("manifest", "refused", 2.0, 10_000, 2.5),
        Fault("list", "unavailable", 2.0, 3),
        Fault("put", "killed after", 3.0, 1),
    ]
    judge(lived(destination, tmp_path / "agent", "prod/", faults), destination, "prod/")


# A daemon that is killed in a simulation closes no connection, as a process that is killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_one_snapshot_per_slot_in_many_lives(destination: Place, tmp_path: Path) -> None:
    for seed in range(8):
        chance = random.Random(seed)
        faults = [
            Fault(
                chance.choice(STEPS),
                chance.choice([*WAYS, *KILLS]),
                chance.uniform(*BAD),
                chance.choice([1, 3, 4, 10_000]),
                BAD[1],
            )
            for _ in range(2)
        ]
        for fault in faults:
            fault.calls = 1 if fault.way in KILLS else fault.calls
        prefix = f"life-{seed}/"
        judge(lived(destination, tmp_path / f"agent-{seed}", prefix, faults), destination, prefix)
    gc.collect()  # here, and not in the midst of another test
