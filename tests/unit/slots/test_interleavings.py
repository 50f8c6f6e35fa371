"""One snapshot per slot and storage, whatever fails: hundreds of faults at each step."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.slots.world import (
    KILLS,
    LAST,
    STEPS,
    WAYS,
    Fault,
    World,
    in_slot,
    most_at_once,
    present,
)

from raft_snapshot_agent.backup import delivery as delivery_module
from raft_snapshot_agent.backup import finish
from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.schedules import slots, timetable
from raft_snapshot_agent.core.schedules.slots import NextRun
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.core.snapshots.naming import AGENT, FORK, SEED, Layout
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.local.local import LocalStorage

SLOTS = 7
BAD = (1.0, 4.0)
"""Faults begin and end within these slots."""
FEW = 6
SEEDS = int(os.environ.get("SLOT_SEEDS", "90"))
"""Of each kind of life; `make test` tries the few, `make soak` all, and thousands take minutes."""
ENOUGH = 30
"""Each defect of `test_it_would_be_noticed` shows within these, however the threads run.

Another copy after a lost answer shows in few of them, and not at every time.
"""
Lives = Callable[[int, Path], World]


def _faults(chance: random.Random) -> list[Fault]:
    faults = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        begin = chance.choice([BAD[0], BAD[0], chance.uniform(*BAD)])
        calls = chance.choice([1, 2, 3, 4, 10, 10_000])
        end = chance.choice([BAD[1], begin + 0.3])
        faults.append(Fault(chance.choice(STEPS), chance.choice(WAYS), begin, calls, end))
    return faults


def _world(chance: random.Random, root: Path) -> World:
    namings = [AGENT, AGENT, SEED, FORK, Layout("vault-", "20060102T1504")]
    world = World(root / "spool", naming=chance.choice(namings))
    world.root.mkdir(parents=True)
    folder = root / "folder"
    folder.mkdir()
    storages: list[Storage] = [MemoryStorage(), LocalStorage(folder)]
    storage = chance.choice(storages)
    world.add("good", MemoryStorage())
    world.add("bad", storage)
    return world


def lived(seed: int, root: Path) -> World:
    """Let a daemon live through bad hours and some good ones."""
    chance = random.Random(seed)
    world = _world(chance, root)
    world.storages["bad"].faults = _faults(chance)
    world.run(lambda: world.live(lambda: world.slot() >= SLOTS - 0.1))
    return world


def killed(seed: int, root: Path) -> World:
    """Kill it at some steps, and start it again after some time."""
    chance = random.Random(seed)
    world = _world(chance, root)
    slots = chance.sample([0, 1, 2, 3], chance.choice([1, 2]))
    world.storages[chance.choice(["good", "bad"])].faults = [
        Fault(chance.choice(STEPS), chance.choice(KILLS), slot, 1) for slot in slots
    ]
    pause = timedelta(seconds=chance.choice([2, 10, 100, 1000]))

    async def lives() -> None:
        while world.slot() < SLOTS - 0.5:
            await world.live(lambda: world.slot() >= SLOTS - 0.1)
            await world.rest(pause)

    world.run(lives)
    return world


def writes_only(seed: int, root: Path) -> World:
    """Nothing can be listed there, so nothing but the memory of the agent tells."""
    chance = random.Random(seed)
    world = _world(chance, root)
    bad = world.storages["bad"]
    world.options["bad"] = {"prunes": chance.choice([True, False])}
    bad.faults = [Fault(step, "refused", -1, 10_000_000) for step in ("list", "read", "delete")]
    bad.faults += [fault for fault in _faults(chance) if fault.step in {"put", "manifest"}]
    world.run(lambda: world.live(lambda: world.slot() >= SLOTS - 0.1))
    return world


def judge(world: World) -> None:
    bad, good = world.storages["bad"], world.storages["good"]
    counts = [len(in_slot(bad, slot)) for slot in range(SLOTS)]
    assert max(counts) == 1, counts
    assert [len(in_slot(good, slot)) for slot in range(SLOTS)] == [1] * SLOTS
    steady = [fault for fault in bad.faults if fault.step == "put" and fault.calls > 3]
    for slot, count in enumerate(counts):
        refused = any(fault.begin - 1 < slot < fault.end for fault in steady)
        assert refused or count == 1, (slot, counts)
    assert "unexpected" not in world.said.getvalue()
    assert not anyio.run(find_doubts, world)


async def find_doubts(world: World) -> list[str]:
    """List what does not count, or is not what its name and its manifest describe."""
    found = []
    for name, faulty in world.storages.items():
        destination = Destination(name, faulty.real, naming=world.naming)
        stored = await destination.stored()
        judged = await destination.proofs.worth(await destination.proofs.judge(stored), stored)
        for one in judged:
            reading = await destination.verdicts.judge(one)
            found += [f"{name}: {one.name}: {why}" for why in (one.doubt, reading.error) if why]
    return found


def judge_always(world: World) -> None:
    """Judge retention too: in the end, and at any time where only notes and uploads failed.

    A kill may cut a prune off, in both storages.
    """
    judge(world)
    assert len(present(world.storages["good"])) == LAST
    bad = world.storages["bad"]
    # What a storage refused to delete is not asked for again on the same day.
    refused = [fault for fault in bad.faults if (fault.step, fault.way) == ("delete", "refused")]
    assert len(present(bad)) == LAST or any(fault.struck for fault in refused)
    ways = {fault.way for one in world.storages.values() for fault in one.faults}
    if not ways & {*KILLS} and {fault.step for fault in bad.faults} <= {"put", "manifest", "sweep"}:
        assert max(most_at_once(bad)) <= LAST + 1


def tried(live: Lives, look: Callable[[World], None], seeds: range) -> None:
    for seed in seeds:
        root = Path(tempfile.mkdtemp())
        try:
            world = live(seed, root)
            look(world)
        except AssertionError as error:
            faults = [one.faults for one in world.storages.values()]
            raise AssertionError(f"{live.__name__}, seed {seed}, {faults}: {error}") from error
        finally:
            shutil.rmtree(root)


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(FEW), id="few"),
        pytest.param(range(FEW, SEEDS), id="many", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize(
    ("live", "look"),
    [(lived, judge_always), (killed, judge_always), (writes_only, judge)],
    ids=["faults", "kills", "may only write"],
)
def test_one_snapshot_per_slot_and_storage(
    live: Lives, look: Callable[[World], None], seeds: range
) -> None:
    tried(live, look, seeds)


def test_a_crash_loop_takes_no_extra_snapshots_where_one_storage_is_down(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add("good", MemoryStorage())
    world.add("bad", MemoryStorage()).faults = [Fault("put", "unavailable", 0, 1_000_000)]

    async def lives() -> None:
        for _ in range(40):
            end = world.slot() + 25 / 3600
            await world.live(lambda end=end: world.slot() >= end)  # type: ignore[misc]
            await world.rest(timedelta(seconds=2))

    world.run(lives)
    assert world.slot() < 2
    assert len(world.storages["good"].copies) == 1 + int(world.slot())
    assert world.asked <= 10 + world.slot() * 60


def test_who_is_killed_between_two_storages_serves_the_other_after_the_start(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.add("good", MemoryStorage())
    world.add("bad", MemoryStorage()).faults = [Fault("put", "killed before", 0, 1)]

    async def lives() -> None:
        await world.live(lambda: False)
        await world.rest(timedelta(seconds=20))
        await world.live(lambda: world.slot() >= 2.5)

    world.run(lives)
    good, bad = world.storages.values()
    assert [len(in_slot(good, slot)) for slot in range(3)][:2] == [1, 1]
    assert [len(in_slot(bad, slot)) for slot in range(3)][:2] == [1, 1]
    assert bad.copies[0].appeared - good.copies[0].appeared < timedelta(minutes=2)
    assert world.asked == 4, "from then on both get the same one"


def _new_names(agent: Any, _places: object, _again: object) -> dict[str, str]:
    agent._unsettled.doubtful.clear()
    return {}


async def _untold(*_: object) -> None:
    """Whether an upload that failed has arrived."""


async def _strict(*args: Any) -> Delivery:
    delivery = await FINISH(*args)
    why = " ".join(delivery.warnings)
    return replace(delivery, error=StorageError(why)) if "without a manifest" in why else delivery


async def _unpruned(destination: Destination, delivery: Delivery, *rest: Any) -> Delivery:
    return delivery if delivery.warnings else await RETAINED(destination, delivery, *rest)


def _by_any(
    name: str, timings: Any, taken: Any, now: Any, _: timedelta, *, running: bool
) -> NextRun:
    anchor = slots.newest_alike(name, timings, taken, now)
    first = timings[name].schedule.next_after if running else timings[name].first
    return NextRun(timings[name], first(anchor, now))


FINISH, RETAINED = finish.finish, finish._prune


@pytest.mark.soak
@pytest.mark.parametrize(
    ("live", "wrongs"),
    [
        (
            lived,
            [
                (Agent, "_list_reused", _new_names),
                (ScheduleState, "after_look", lambda table, *_: table),
                (delivery_module, "is_there", _untold),
            ],
        ),
        (
            lived,
            [
                (finish, "finish", _strict),
                (ScheduleState, "after_look", lambda table, *_: table),
            ],
        ),
        (lived, [(finish, "_prune", _unpruned)]),
        (writes_only, [(Agent, "_list_reused", _new_names)]),
        (killed, [(timetable, "find_slot", _by_any)]),
    ],
    ids=[
        "another copy after a lost answer",
        "a refused manifest is a failure",
        "no pruning after a warning",
        "another name where nothing can be listed",
        "any storage tells for all",
    ],
)
def test_it_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, live: Lives, wrongs: list[tuple[Any, str, Any]]
) -> None:
    for owner, name, wrong in wrongs:
        monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        tried(live, judge if live is writes_only else judge_always, range(ENOUGH))
