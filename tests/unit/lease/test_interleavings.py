"""Thousands of interleavings of three agents, a record and a bad world."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from tests.unit.lease.simulation import DURATION, EVERY, Faults, Host, World

from raft_snapshot_agent.core.leases.lease import Observation
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.holder import Lease

FEW, SEEDS = 100, 3000
"""Each defect that is tried below shows in the first sixty; `make soak` tries all."""
PARTS = 4
AGENTS = 3
END = 40 * DURATION


def _run(seed: int) -> World:
    world = World(seed, Faults())
    _populate(world, seed)
    _plan(world)
    world.run(END, lambda: _one_at_most(world))
    return world


def _populate(world: World, seed: int) -> None:
    """Let some worlds have agents of different durations, sick ones, or a leader that moves."""
    durations = (DURATION,) if seed % 2 else (DURATION / 2, DURATION, 1.5 * DURATION)
    sick = world.random.sample(range(AGENTS), world.random.randrange(AGENTS))
    if seed % 3 == 0:
        world.sick = dict.fromkeys(sick, END)
    if seed % 3 == 1:
        world.leader = 0
        for _ in range(world.random.randrange(8)):
            when = world.random.uniform(0, world.faults.until)
            world.at(when, partial(setattr, world, "leader", world.random.randrange(AGENTS)))
    world.hosts = [
        Host(world, f"{number}", number, world.random.choice(durations)) for number in range(AGENTS)
    ]


def _plan(world: World) -> None:
    """Let hosts be paused, killed and stopped at random moments while the world is bad."""
    chance = world.random
    for _ in range(chance.randrange(12)):
        number, when = chance.randrange(AGENTS), chance.uniform(0, world.faults.until)
        world.at(when, partial(chance.choice([_pause, _pause, _kill]), world, number))


def _pause(world: World, number: int) -> None:
    world.hosts[number].pause(world.random.uniform(0, 3 * DURATION))


def _kill(world: World, number: int) -> None:
    old = world.hosts[number]
    old.alive = False
    name = f"{number} since {world.now:.3f}"
    world.hosts[number] = Host(world, name, number, old.duration)


def _one_at_most(world: World) -> None:
    holders = [host.name for host in world.hosts if host.lease.held_lease is not None]
    assert len(holders) <= 1, (holders, world.now)


def _judge(world: World) -> None:
    twice = {slot: by for slot, by in world.store.completed.items() if len(by) > 1}
    assert twice == {}
    gone = world.recorded - world.store.data.keys()
    assert gone == set(), "whoever comes next counts on it"
    # Who is sick is only found out by trying.
    first = int(world.faults.until // EVERY) + (2 if world.sick else 1)
    for slot in range(first, int(END // EVERY)):
        (when,) = world.store.completed.get(slot, {"nobody": END}).values()
        assert when - slot * EVERY <= 2 * max(host.duration for host in world.hosts), slot


def _try(seeds: range) -> None:
    for seed in seeds:
        try:
            _judge(_run(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_no_slot_is_completed_twice_and_none_is_lost() -> None:
    _try(range(FEW))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_no_slot_is_completed_twice_and_none_is_lost_in_many_worlds(part: int) -> None:
    _try(range(FEW + part, SEEDS, PARTS))


def test_who_is_gone_is_followed_within_two_durations() -> None:
    for seed in range(200):
        world = World(seed, Faults(until=0.0))
        world.hosts = [Host(world, f"{number}", number, DURATION) for number in range(AGENTS)]
        world.run(2 * DURATION, lambda: None)
        (holder,) = [host for host in world.hosts if host.lease.held_lease is not None]
        holder.alive = False
        world.hosts.remove(holder)
        world.run(4 * DURATION, lambda: None)
        assert [one for one in world.hosts if one.lease.held_lease is not None], seed


_SWAP = World.swap


def _always(world: World, record: Record, _expected: str | None) -> str | None:
    return _SWAP(world, record, world.found.version if world.found else None)


async def _unasked(*_: object) -> bool:
    """Confirm, and find able, whatever is asked."""
    return True


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (World, "swap", _always),
        (Lease, "confirm", _unasked),
        (Lease, "holds", lambda lease, _term: lease._mine is not None),
        (Observation, "free_in", lambda seen, now, own: max(seen.since + own - now, 0.0)),
        (Candidacy, "can_snapshot", _unasked),
        (Candidacy, "count", lambda _self, failed: ""),
    ],
    ids=["no compare", "no confirmation", "no doubt", "no patience", "no leader", "no giving away"],
)
def test_it_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, wrong: Callable[..., object]
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        _try(range(FEW))


def test_the_worlds_have_what_they_are_to_have() -> None:
    worlds = [_run(seed) for seed in range(0, 60, 3)]
    assert sum(world.gave_away for world in worlds) > 10
