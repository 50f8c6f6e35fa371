"""When many new snapshots are an alarm, and when they are ordinary work."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adversary.history import BEGIN, HOUR, Site, archive_of

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Cron, Every
from raft_snapshot_agent.core.snapshots.naming import AGENT, SEED
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME

Life = Callable[[Site, random.Random], Awaitable[None]]
POLICY = Retention(last=24, daily=7, weekly=4)


async def _alone(site: Site, moments: random.Random) -> None:
    for _ in range(40):
        await site.run(after=moments.choice([1.0, 1.0, 1.0, 0.98, 1.02]))


async def _several_agents(site: Site, moments: random.Random) -> None:
    """Three agents without a lease, each with its own snapshot in each slot."""
    for _ in range(25):
        for agent in range(3):
            await site.run(after=moments.uniform(0.0003, 0.01), run=f"{agent:06x}")
        site.elapsed += 0.97


async def _by_hand(site: Site, moments: random.Random) -> None:
    """People try things: a dozen within minutes, now and then."""
    for _ in range(20):
        await site.run()
        if moments.random() < 0.2:
            site.elapsed -= 0.9
            for number in range(moments.randrange(1, 13)):
                await site.run(after=0.05, run=f"{number:06x}")
            site.elapsed = float(int(site.elapsed) + 1)


async def _down(site: Site, moments: random.Random) -> None:
    """The storage or the agent is away for weeks, and goes on."""
    for _ in range(8):
        for _ in range(4):
            await site.run()
        site.elapsed += moments.choice([5.0, 100.0, 1000.0])


async def _others_meanwhile(site: Site, moments: random.Random) -> None:
    """Agents of another kind store, too: snapshots without a manifest."""
    for number in range(30):
        await site.run()
        for one in range(moments.choice([1, 1, 1, 0, 3])):
            when = site.now - timedelta(minutes=20 + one)
            name = SEED.name(SEED.run(when, f"{number * 8 + one:06x}"), 0)
            await site.add(name, archive_of(1, when))


async def _old_bucket(site: Site, moments: random.Random) -> None:
    for hours in range(400):
        name = AGENT.name(AGENT.run(BEGIN - hours * HOUR, "0000ff"), 500)
        await site.add(name, b"old")
    await _alone(site, moments)


async def _cron(site: Site, moments: random.Random) -> None:
    """`run --once` every ten minutes, and nobody wrote that into the configuration."""
    for _ in range(60):
        await site.run(after=moments.uniform(0.16, 0.17))


async def _schedule_changes(site: Site, moments: random.Random) -> None:
    for pace in (10, 1440, 60, 240, 10):
        site.pace = Every(timedelta(minutes=pace))
        for _ in range(30):
            await site.run(after=pace / 60)


async def _cron_expression(site: Site, moments: random.Random) -> None:
    site.pace = Cron("0 8,12,18 * * 1-5")
    for _ in range(20):
        for gap in (4.0, 6.0, 14.0):
            await site.run(after=gap)
        if moments.random() < 0.3:
            site.elapsed += 48


LIVES: dict[str, Life] = {
    "alone": _alone,
    "several agents": _several_agents,
    "by hand": _by_hand,
    "down": _down,
    "others": _others_meanwhile,
    "an old bucket": _old_bucket,
    "cron": _cron,
    "schedule changes": _schedule_changes,
    "a cron expression": _cron_expression,
}


GOING_ON = [life for life in LIVES.values() if life is not _old_bucket]
"""What may follow on another; hundreds that appear later in a storage are no ordinary work."""


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
def test_ordinary_work_raises_no_alarm(life: Life) -> None:
    site = Site(policy=POLICY, extra=24)

    anyio.run(life, site, random.Random(4))

    assert site.alarms == []
    assert site.runs > 20


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    lives=st.lists(st.sampled_from(GOING_ON), min_size=1, max_size=3),
    policy=st.sampled_from([POLICY, Retention(last=3), Retention(daily=30), Retention(last=200)]),
)
def test_lives_one_after_another_raise_none(
    seed: int, lives: list[Life], policy: Retention
) -> None:
    async def live() -> None:
        site, moments = Site(policy=policy, extra=24), random.Random(seed)
        for life in lives:
            site.pace = Every(HOUR)
            await life(site, moments)
            assert site.alarms == [], life
            # Nothing tells ten hours of quick snapshots from forged ones, on the first day of a
            # schedule that is a hundred times slower.
            site.elapsed += 48

    anyio.run(live)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_a_schedule_that_became_a_slower_one_raises_none(seed: int) -> None:
    site, moments = Site(policy=POLICY, extra=24), random.Random(seed)

    async def live() -> None:
        for life in (_alone, _schedule_changes, _cron_expression):
            site.pace = Every(HOUR)
            await life(site, moments)

    anyio.run(live)
    assert site.alarms == []


@pytest.mark.parametrize("life", [_alone, _several_agents, _down, _by_hand])
@pytest.mark.parametrize("spread", [0.9, 400.0], ids=["of the last hour", "of the last weeks"])
def test_whoever_adds_twice_as_many_as_people_do_raises_one(life: Life, spread: float) -> None:
    site = Site(policy=POLICY, extra=24)

    async def live() -> None:
        await life(site, random.Random(4))
        before = await site.held()
        for number in range(60):
            when = site.elapsed - 0.05 - spread * number / 60
            name = AGENT.name(AGENT.run(BEGIN + when * HOUR, f"{number:06x}"), 1000)
            await site.forge(name, archive_of(1000 + number))
        assert "max_extra" in (await site.run()).alarm
        for _ in range(5):
            await site.run()
        assert before <= await site.held()

    anyio.run(live)


def test_one_run_deletes_no_more_than_the_schedule_explains_and_prune_all_the_rest() -> None:
    site = Site(policy=Retention(last=200))

    async def live() -> None:
        for _ in range(80):
            await site.run()
        site.policy = Retention(last=2)
        site.fresh = True
        done = await site.run()
        assert len(done.deleted) == 25
        (told,) = done.warnings
        assert "they are deleted in the next runs" in told
        planned = await site.destination.prune(site.now, dry_run=True)
        assert (len(planned.plan.delete), len(planned.plan.postponed)) == (26, 28)
        assert len((await site.destination.prune(site.now, everything=True)).deleted) == 54
        assert (await site.run()).warnings == ()

    anyio.run(live)


def test_max_deletes_takes_the_place_of_that_bound() -> None:
    site = Site(policy=Retention(last=200))

    async def live() -> None:
        for _ in range(60):
            await site.run()
        site.policy = Retention(last=2, max_deletes=100)
        assert len((await site.run()).deleted) == 59

    anyio.run(live)


def test_whoever_only_prunes_is_warned_as_well() -> None:
    site = Site(policy=Retention(last=20))

    async def live() -> None:
        for _ in range(30):
            await site.run()
        before = await site.held()
        for number in range(60):
            when = BEGIN + (site.elapsed - 1 - number / 7) * HOUR
            name = AGENT.name(AGENT.run(when, f"{number:06x}"), 1000)
            await site.forge(name, archive_of(1000 + number))
        planned = await site.destination.prune(site.now, dry_run=True, everything=True)
        assert "max_extra" in planned.plan.refused
        assert GUARD_NAME not in await site.names()
        done = await site.destination.prune(site.now, everything=True)
        assert "prune --acknowledge" in done.plan.refused
        assert done.alarm
        assert before <= await site.held()
        assert await site.destination.acknowledge()
        site.elapsed += 12
        assert len((await site.destination.prune(site.now, everything=True)).deleted) == 60

    anyio.run(live)


def test_what_counts_for_no_rule_is_named() -> None:
    site = Site(policy=Retention(last=3))

    async def live() -> None:
        for _ in range(5):
            await site.run()
        for number in range(5):
            name = AGENT.name(AGENT.run(site.now, f"{number:06x}"), 1000)
            await site.forge(name, archive_of(1000 + number), index=1)
        (told,) = (await site.run()).warnings
        assert told.startswith("in doubt, not counted for retention: raft-snapshot-")
        assert " and 2 more (why: prune --dry-run)" in told
        plan = (await site.destination.prune(site.now, dry_run=True)).plan
        assert any("differ from its manifest" in why for (why, *_) in plan.keep.values())

    anyio.run(live)
