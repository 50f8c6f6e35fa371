"""The guard over whole lives of clusters: silent in ordinary trouble, loud when history is lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.guarded import Host, World

from raft_snapshot_agent.core.notes import Restored
from raft_snapshot_agent.core.snapshot import Manifest

SEEDS = st.integers(0, 2**32)
SKEWS = st.sampled_from([0.0, 0.5, 2.0, 4.0])
EVERY = st.sampled_from([1.0, 10.0, 300.0, 3600.0])


def ordinary(world: World, steps: int, every: float) -> list[str]:
    """Live through elections, freezes, slow uploads and several agents; collect the alarms."""
    alarms = []
    waiting: list[tuple[Manifest, float]] = []
    asleep: list[Host] = []
    for _ in range(steps):
        world.pass_time(world.moments.uniform(0.2, 1.5) * every)
        match world.moments.randrange(8):
            case 0:
                world.elect(awake(world))
            case 1 if not asleep:  # the leader is frozen, perhaps in the middle of its snapshot
                frozen = world.hosts[world.leader]
                frozen.frozen = True
                if world.moments.random() < 0.5:
                    waiting.append((world.begin(frozen), world.now))
                asleep.append(frozen)
                world.elect(awake(world))
            case 2 if asleep:  # it wakes, and asks itself before it hears of another leader
                woken = asleep.pop(0)
                begun = world.begin(woken)
                world.pass_time(0.1)
                alarms.append(world.complete(begun, 0.1).alarm)
                woken.frozen = False
                world.pass_time(0.0)
            case 3 if waiting:  # what was begun long ago is completed
                late, since = waiting.pop(0)
                alarms.append(world.complete(late, world.now - since).alarm)
            case 4:  # a slow upload, while another agent is at work
                waiting.append((world.begin(world.hosts[world.leader]), world.now))
            case _:
                begun = world.begin(world.hosts[world.leader])
                took = world.moments.uniform(0.05, 0.9)
                world.pass_time(took)
                alarms.append(world.complete(begun, took).alarm)
    return list(filter(None, alarms))


def awake(world: World) -> int:
    return world.moments.choice([host.number for host in world.hosts if not host.frozen])


def settle(world: World) -> None:
    """Store a few snapshots as every day."""
    for host in world.hosts:
        host.frozen = False
    for _ in range(3):
        world.pass_time(200)
        begun = world.begin(world.hosts[world.leader])
        assert not world.complete(begun, 0.5).alarm


def until_alarm(world: World, every: float) -> tuple[str, int]:
    """Take snapshots until an alarm is raised; none may be pruned before that.

    Returns:
        The alarm, and how many seconds it took.
    """
    began = world.now
    while world.now - began < 200 + 2 * every:
        world.pass_time(every)
        begun = world.begin(world.hosts[world.leader])
        found = world.complete(begun, 0.2)
        if found.alarm:
            return found.alarm, round(world.now - began)
        assert found.unsettled, "what looks well would let the good history be pruned"
    raise AssertionError("no alarm")


@given(seed=SEEDS, skew=SKEWS, every=EVERY)
def test_ordinary_trouble_raises_no_alarm(seed: int, skew: float, every: float) -> None:
    assert ordinary(World(random.Random(seed), skew), 60, every) == []


@given(seed=SEEDS, skew=SKEWS, every=EVERY, terms=st.integers(1, 5))
def test_a_wiped_or_swapped_cluster_raises_one_at_once(
    seed: int, skew: float, every: float, terms: int
) -> None:
    world = World(random.Random(seed), skew)
    settle(world)
    world.cluster_id, world.index, world.term = "two", 30, terms
    world.elect(world.moments.randrange(3))
    world.pass_time(every)

    begun = world.begin(world.hosts[world.leader])

    assert "the cluster is another" in world.complete(begun, 0.2).alarm


@given(
    seed=SEEDS,
    skew=SKEWS,
    every=st.sampled_from([0.3, 1.0, 10.0, 300.0]),
    elections=st.integers(0, 3),
    memory=st.booleans(),
)
def test_a_cluster_that_was_rolled_back_raises_one(
    seed: int, skew: float, every: float, elections: int, memory: bool
) -> None:
    """Disks, or machines with their memory, are put back to an earlier moment."""
    world = World(random.Random(seed), skew)
    settle(world)
    then = state_of(world)
    for _ in range(elections):
        world.pass_time(100)
        world.elect(world.moments.randrange(3))
    world.index += 100
    settle(world)
    last = world.stored[-1]
    put_back(world, then)
    if not memory:
        world.elect(world.leader)
    assert world.index < last.index

    alarm, seconds = until_alarm(world, every)

    assert "went back" in alarm
    if not memory and skew == 0:
        assert seconds <= 2 * every + 1, "on hosts whose clocks agree it is told at once"


def state_of(world: World) -> tuple[int, int, int, float]:
    return world.index, world.term, world.leader, world.hosts[world.leader].leading_since


def put_back(world: World, state: tuple[int, int, int, float]) -> None:
    world.index, world.term, world.leader, since = state
    world.hosts[world.leader].leading_since = since
    world.pass_time(0.0)


@given(seed=SEEDS, skew=SKEWS, every=EVERY, force=st.booleans())
def test_a_restore_by_hand_raises_none_and_the_next_rollback_does(
    seed: int, skew: float, every: float, force: bool
) -> None:
    world = World(random.Random(seed), skew)
    settle(world)
    old = world.stored[0]
    world.pass_time(every)
    at = replace(world.begin(world.hosts[1]), clock="the operator's")
    word = Restored(old.snapshot, at.taken_at, "one", old.index, 400, at.clock, at.began)
    if force:  # a fresh cluster counts its terms anew, and goes on after the snapshot's index
        world.index, world.term = old.index + 1, 1
    world.elect(world.leader)
    world.pass_time(max(every, 70.0))
    begun = replace(world.begin(world.hosts[world.leader]), size=400)

    assert not world.complete(begun, 0.2, word).alarm

    world.pass_time(every)
    begun = replace(world.begin(world.hosts[world.leader]), size=400)
    assert not world.complete(begun, 0.2).alarm
    world.index -= 1 + world.moments.randrange(0, 3)
    world.pass_time(0.0)
    world.now += every
    world.index = begun.index - 1
    world.hosts[world.leader].index = world.index
    lost = replace(world.begin(world.hosts[world.leader]), size=400)
    assert "the Raft index went back" in world.complete(lost, 0.2).alarm


@pytest.mark.timeout(900)
@pytest.mark.soak
@given(seed=SEEDS, skew=SKEWS, every=EVERY)
def test_many_lives_of_ordinary_trouble_raise_no_alarm(
    seed: int, skew: float, every: float
) -> None:
    assert ordinary(World(random.Random(seed), skew), 200, every) == []
