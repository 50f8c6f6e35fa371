"""Whatever somebody adds to a storage, the good history in it stays (docs/decisions/0037)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adversary.history import (
    BEGIN,
    EXTRA,
    HOUR,
    KEYS,
    POLICY,
    Site,
    archive_of,
    manifest_for,
)
from tests.adversary.names import hostile_names

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, Alarm, Restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Condemnation, Sidecar
from raft_snapshot_agent.storage.base import BytesSource

BEFORE = 30
"""Runs until somebody gets at the storage."""
Attack = Callable[[Site], Awaitable[None]]
LIES: list[dict[str, Any]] = [
    {"snapshot": "another.snap"},
    {"size": 1},
    {"index": 1},
    {"taken_at": "2999-01-01T00:00:00Z"},
    {"taken_at": "2020-01-01T00:00:00Z"},
    {"taken_at": "never"},
]


def named(hours: float, index: int | None = None, run: str = "bad000") -> str:
    """Name a snapshot by hours since the beginning; its index is what one would have then."""
    index = max(0, 1000 + int(10 * hours)) if index is None else index
    return AGENT.name(AGENT.run(BEGIN + timedelta(hours=hours), run), index)


def forged(number: int, hours: float, **lies: object) -> Attack:
    """Add snapshots with manifests that agree, up to some time."""

    async def attack(site: Site) -> None:
        end = site.runs - 1 if hours == 0 else hours
        for one in range(number):
            name = named(end - one * 0.37, run=f"{one:06x}")
            await site.forge(name, archive_of(50_000 + one), **lies)

    return attack


@functools.cache
def undisturbed(
    policy: Retention, runs: int, keys: SigningKeys | None
) -> tuple[Site, list[set[str]]]:
    """Let an agent work alone.

    Returns:
        The storage after a while, and what the policy keeps after each run.
    """
    kept: list[set[str]] = []
    site = Site(keys, policy)

    async def live() -> Site:
        begun = site
        for number in range(runs):
            if number == BEFORE:
                begun = site.copy()
            await site.run()
            kept.append(await site.held())
        return begun

    begun = anyio.run(live)
    assert site.alarms == site.warnings == []
    return begun, kept


def lived(attack: Attack, runs: int, keys: SigningKeys | None = None) -> tuple[Site, set[str]]:
    """Let somebody at a storage after a while; return what is lost at any time after that."""
    begun, expected = undisturbed(POLICY, BEFORE + runs, keys)
    site = begun.copy()
    lost: set[str] = set()

    async def live() -> None:
        await attack(site)
        for number in range(BEFORE, BEFORE + runs):
            await site.run()
            lost.update(expected[number] - await site.held())

    anyio.run(live)
    return site, lost


# What needs no key: what lies is seen through.


async def _notes(site: Site) -> None:
    """Condemn everything, and add one junk snapshot of a byte."""
    for name in list(site.good):
        await site.add(Sidecar.BROKEN.name_for(name), b"")
    await site.add(named(site.runs - 0.5), b"x")


async def _old_notes(site: Site) -> None:
    note = Condemnation("it is broken", BEGIN - timedelta(days=99)).to_json()
    for name in list(site.good):
        await site.add(Sidecar.BROKEN.name_for(name), note)
        await site.add(Sidecar.MISMATCH.name_for(name), b"it is another\n")


async def _junk(site: Site) -> None:
    for one in range(EXTRA):
        await site.add(named(site.runs - 0.1 * one), b"junk")


async def _copies(site: Site) -> None:
    """Put real archives under later names, with manifests that agree with those."""
    for one, content in enumerate([*site.good.values()][-EXTRA:]):
        await site.forge(named(site.runs - 0.5 - one / 20), content)


async def _holds(site: Site) -> None:
    for name in list(site.good):
        await site.add(Sidecar.HOLD.name_for(name), b"mine\n")


def _lying(lie: dict[str, Any]) -> Attack:
    return forged(EXTRA, 0, **lie)


async def _changed(site: Site) -> None:
    """Let every manifest tell of another digest, if it does not already."""
    for name in await site.names() & site.good.keys():
        text = b"".join([piece async for piece in site.storage.read(manifest_name(name))])
        digest = hashlib.sha256(site.good[name]).hexdigest().encode()
        await site.storage.put(manifest_name(name), BytesSource(text.replace(digest, b"0" * 64)))


SEEN_THROUGH: dict[str, Attack] = {
    "notes": _notes,
    "old notes": _old_notes,
    "junk": _junk,
    "copies": _copies,
    "holds": _holds,
    "changed digests": _changed,
    "the future": forged(31, 24 * 400),
    **{f"a lie {number}": _lying(lie) for number, lie in enumerate(LIES)},
}


@pytest.mark.parametrize("attack", SEEN_THROUGH.values(), ids=SEEN_THROUGH.keys())
@pytest.mark.parametrize("keys", [None, KEYS], ids=["no key", "key"])
def test_what_lies_costs_nothing_and_raises_no_alarm(
    keys: SigningKeys | None, attack: Attack
) -> None:
    site, lost = lived(attack, 20, keys)

    assert lost == set()
    assert site.alarms == []


# Without a key: many that agree are an alarm.


@pytest.mark.parametrize("number", [EXTRA + 4, 31])
@pytest.mark.parametrize("hours", [0, 20], ids=["just before", "long ago"])
def test_many_that_look_real_are_an_alarm_and_cost_nothing(number: int, hours: int) -> None:
    site, lost = lived(forged(number, hours), 15)

    assert lost == set()
    assert len(site.alarms) == 15, "until somebody looked"
    assert "max_extra" in site.alarms[0]


def test_an_acknowledged_flood_raises_no_alarm_again() -> None:
    site = Site()

    async def live() -> None:
        for _ in range(BEFORE):
            await site.run()
        await forged(31, 20)(site)
        assert (await site.run()).alarm
        assert await site.destination.acknowledge()
        for _ in range(20):
            assert not (await site.run()).alarm

    anyio.run(live)


@pytest.mark.parametrize("number", [1, 3, EXTRA])
def test_few_look_like_those_of_people_and_cost_no_more_than_theirs(number: int) -> None:
    site, lost = lived(forged(number, 0), 20)

    assert len(lost) <= 2 * number
    assert site.alarms == []


# With a key nothing is lost, and nothing is said but what it is.


@pytest.mark.parametrize("number", [3, 60])
@pytest.mark.parametrize(
    "lies",
    [
        {},
        {"signature": "hmac-sha256:" + "0" * 64},
        {"known": "."},
        {"signature": "\ud800", "history": "\ud800" * 99, "node": "\n"},
        {"duration": float("inf"), "began": float("nan"), "clock": "host"},
        {"leading_since": "9999-12-31T23:59:59-23:59", "term": 1 << 99},
    ],
    ids=str,
)
def test_with_a_key_nothing_that_others_add_counts(number: int, lies: dict[str, Any]) -> None:
    site, lost = lived(forged(number, 0, **lies), 20, KEYS)

    assert lost == set()
    assert site.alarms == []


def test_a_signature_is_good_for_no_other_name() -> None:
    async def attack(site: Site) -> None:
        for one, name in enumerate(list(site.good)[-EXTRA:]):
            text = b"".join([piece async for piece in site.storage.read(manifest_name(name))])
            later = named(site.runs - 0.5 - one / 20)
            await site.add(later, site.good[name])
            await site.add(manifest_name(later), text.replace(name.encode(), later.encode()))

    assert lived(attack, 20, KEYS)[1] == set()


def test_a_changed_key_is_known_by_the_old_one() -> None:
    site = Site(KEYS)
    _, expected = undisturbed(site.policy, 30, None)

    async def live() -> None:
        for number in range(30):
            if number == 15:
                site.keys = SigningKeys(b"n" * 32, (KEYS.current,))
            await site.run()
            assert await site.held() == expected[number]

    anyio.run(live)
    assert site.alarms == site.warnings == []


def test_what_lay_there_before_the_key_goes_by_the_same_rules_and_is_not_pushed_out() -> None:
    site = Site()
    _, expected = undisturbed(site.policy, 60, None)

    async def live() -> None:
        for number in range(60):
            if number == 20:
                site.keys = KEYS
            if number == 22:
                await forged(31, 10)(site)
                await _junk(site)
            await site.run()
            assert expected[number] <= await site.held()

    anyio.run(live)
    assert site.alarms == []
    assert expected[-1] == {*site.good} & anyio.run(site.held), "those from before went in turn"


# Anything at all.


def _any_attack(draw: Any) -> Attack:
    kind = draw(
        st.sampled_from(["seen through", "forged", "names", "guard", "restored", "manifests"])
    )
    names = draw(st.lists(hostile_names, max_size=8))
    number = draw(st.integers(1, 60))
    hours = draw(st.sampled_from([0, 5, 12, 29, 24 * 400]))
    known = draw(st.sampled_from(list(SEEN_THROUGH.values())))
    content = draw(st.sampled_from([b"", b"{}", b"[" * 5000, b"\xff", b'{"a": 1e999}']))

    async def attack(site: Site) -> None:
        match kind:
            case "seen through":
                await known(site)
            case "forged":
                await forged(number, hours)(site)
            case "names":
                for name in names:
                    await site.add(name, content)
            case "guard":
                await site.add(GUARD_NAME, Alarm("All is well\nreally", "x", "").to_json())
            case "restored":
                told = Restored("x.snap", f"{site.now:%Y-%m-%dT%H:%M:%SZ}", "two", 1, 1)
                await site.add(RESTORED_NAME, told.to_json())
            case "manifests":  # beside what is there already, and of nothing
                for name in [*site.good, named(3, 3)]:
                    lie = replace(manifest_for(name, b"x"), index=1)
                    await site.add(manifest_name(name), lie.to_json() + content)

    return attack


@st.composite
def attacks(draw: Any) -> list[tuple[int, Attack]]:
    """Several attacks, each at some run."""
    return [
        (BEFORE + draw(st.integers(0, 20)), _any_attack(draw))
        for _ in range(draw(st.integers(1, 4)))
    ]


POLICIES = st.sampled_from(
    [
        POLICY,
        Retention(last=2),
        Retention(daily=3, min_keep=3),
        Retention(within=12 * HOUR, weekly=1),
        Retention(last=10, max_space=30_000),
    ]
)


def judged(plans: list[tuple[int, Attack]], policy: Retention, runs: int) -> None:
    begun, expected = undisturbed(policy, BEFORE + runs, KEYS)

    async def live() -> None:
        site = replace(begun.copy(), fresh=False)
        for number in range(BEFORE, BEFORE + runs):
            for _, attack in (plan for plan in plans if plan[0] == number):
                await attack(site)
            await site.run()
            assert expected[number] <= await site.held()

    anyio.run(live)


@settings(max_examples=2)  # each takes a second
@given(plans=attacks(), policy=POLICIES)
def test_with_a_key_no_good_one_is_lost(plans: list[tuple[int, Attack]], policy: Retention) -> None:
    judged(plans, policy, 30)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=40)  # each takes half a second and more
@given(plans=attacks(), policy=POLICIES)
def test_with_a_key_no_good_one_is_lost_in_a_hundred_runs(
    plans: list[tuple[int, Attack]], policy: Retention
) -> None:
    judged(plans, policy, 100)
