from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from raft_snapshot_agent.core.history.retention import Retention, plan
from raft_snapshot_agent.core.snapshots.snapshot import Stored

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
LABELS = {"hourly": "%Y-%m-%d-%H%z", "daily": "%Y-%j", "weekly": "%G-%V", "monthly": "%Y-%m"}


AHEAD = timedelta(minutes=10)
STORED = st.builds(
    lambda number, minutes, size, verified, held, note, safety: Stored(
        f"snapshot {number}",
        NOW - timedelta(minutes=minutes),
        size,
        verified=verified,
        held=held,
        condemned=note is not None and note >= 0,
        condemned_at=None if not note or note < 0 else NOW - timedelta(days=note),
        mismatched=note == -1,
        safety=safety,
    ),
    number=st.integers(0, 10**9),
    # Dense around now, up to three years back and two days into the future.
    minutes=st.one_of(
        st.integers(-2880, 60_000), st.integers(0, 1_600_000), st.integers(-60, 1440)
    ),
    size=st.sampled_from([0, 1, 1, 1, 1]),
    verified=st.booleans(),
    held=st.sampled_from([False, False, False, True]),
    note=st.sampled_from([None, None, None, None, None, -1, 0, 1, 29, 31]),
    safety=st.sampled_from([False, False, False, True]),
)
STORAGES = st.lists(STORED, max_size=30, unique_by=lambda one: one.name)
COUNTS = st.none() | st.integers(0, 5)
POLICIES = st.builds(
    Retention,
    last=COUNTS,
    hourly=COUNTS,
    daily=COUNTS,
    weekly=COUNTS,
    monthly=COUNTS,
    yearly=COUNTS,
    within=st.none() | st.timedeltas(timedelta(0), timedelta(days=60)),
    min_keep=st.integers(0, 4),
)
ZONES = st.sampled_from([UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu")])


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, limit=st.none() | st.integers(0, 9))
def test_keep_and_delete_share_out_everything(
    stored: list[Stored], policy: Retention, zone: tzinfo, limit: int | None
) -> None:
    done = plan(stored, replace(policy, max_deletes=limit), NOW, zone)

    assert sorted([*done.keep, *done.delete], key=str) == sorted(stored, key=str)
    assert all(done.keep.values())
    assert limit is None or len(done.delete) <= limit


@given(stored=STORAGES, policy=POLICIES, zone=ZONES)
def test_the_guards_hold_under_every_policy(
    stored: list[Stored], policy: Retention, zone: tzinfo
) -> None:
    done = plan(stored, policy, NOW, zone)

    counting = sorted((one for one in stored if one.is_counted), key=lambda one: one.taken_at)
    present = [one for one in counting if one.taken_at <= NOW + AHEAD]
    left = [one for one in counting if one not in done.delete]
    for group in (present, [one for one in present if one.verified], counting):
        assert not group or group[-1].taken_at in {one.taken_at for one in left}
    assert len([one for one in left if one in present]) >= min(policy.min_keep, len(present))
    assert not any(one.held or not one.is_counted or one not in present for one in done.delete)
    assert all(one.broken and not one.held for one in done.review)
    assert all(any(other.taken_at >= one.taken_at for other in present) for one in done.review)


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, other=POLICIES)
def test_a_stricter_policy_deletes_at_least_as_much(
    stored: list[Stored], policy: Retention, zone: tzinfo, other: Retention
) -> None:
    def stricter(rule: str) -> Any:
        ours, theirs = getattr(policy, rule), getattr(other, rule)
        return None if ours is None or theirs is None else min(ours, theirs)

    strict = replace(policy, **{field.name: stricter(field.name) for field in fields(policy)})
    assume(not strict.keeps_all)

    assert set(plan(stored, policy, NOW, zone).delete) <= set(
        plan(stored, strict, NOW, zone).delete
    )


@given(stored=STORAGES, policy=POLICIES, zone=ZONES)
def test_planning_again_deletes_nothing_more(
    stored: list[Stored], policy: Retention, zone: tzinfo
) -> None:
    once = plan(stored, policy, NOW, zone)

    again = plan(once.keep, policy, NOW, zone)

    assert again.delete == ()
    assert set(again.keep) == set(once.keep)


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, random=st.randoms())
def test_the_order_of_the_listing_does_not_matter(
    stored: list[Stored], policy: Retention, zone: tzinfo, random: Any
) -> None:
    shuffled = stored.copy()
    random.shuffle(shuffled)

    assert plan(iter(shuffled), policy, NOW, zone) == plan(stored, policy, NOW, zone)


@given(stored=STORAGES, policy=POLICIES, zone=ZONES)
def test_what_does_not_count_changes_nothing_for_the_others(
    stored: list[Stored], policy: Retention, zone: tzinfo
) -> None:
    counting = [one for one in stored if one.is_counted]

    done = plan(stored, policy, NOW, zone)

    assert {one: why for one, why in done.keep.items() if one.is_counted} == plan(
        counting, policy, NOW, zone
    ).keep
    assert all(one in done.keep for one in stored if not one.is_counted)


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, junk=st.lists(STORED, max_size=40))
def test_what_others_add_beyond_the_present_costs_nothing(
    stored: list[Stored], policy: Retention, zone: tzinfo, junk: list[Stored]
) -> None:
    """Snapshots dated in the future, empty ones, and notes that condemn what is added."""
    far = [
        replace(one, name=f"junk {number}", taken_at=one.taken_at + timedelta(days=4000))
        for number, one in enumerate(junk)
    ]
    empty = [replace(one, name=f"empty {one.name}", size=0) for one in far]

    done = plan([*stored, *far, *empty], policy, NOW, zone)

    assert set(done.delete) <= set(plan(stored, policy, NOW, zone).delete)


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, room=st.none() | st.integers(1, 12))
def test_safety_snapshots_take_no_place_of_others(
    stored: list[Stored], policy: Retention, zone: tzinfo, room: int | None
) -> None:
    """Except of those dated in the future, which go before all others where space is short."""
    policy = replace(policy, max_space=room)
    stored = [one for one in stored if one.taken_at <= NOW + AHEAD]
    ordinary = [one for one in stored if not one.safety]

    done = plan(stored, policy, NOW, zone)

    alone = plan(ordinary, policy, NOW, zone)
    assert {one: why for one, why in done.keep.items() if not one.safety} == alone.keep
    assert [one for one in done.delete if not one.safety] == [*alone.delete]


@given(stored=STORAGES, zone=ZONES, rule=st.sampled_from([*LABELS]), count=st.integers(1, 6))
def test_a_rule_keeps_the_newest_of_each_of_its_newest_periods(
    stored: list[Stored], zone: tzinfo, rule: str, count: int
) -> None:
    stored = [one for one in stored if not one.safety]
    newest: dict[str, datetime] = {}
    for one in sorted(stored, key=lambda one: one.taken_at):
        if one.is_counted and one.taken_at <= NOW + AHEAD:
            newest[one.taken_at.astimezone(zone).strftime(LABELS[rule])] = one.taken_at
    expected = sorted(newest.values(), reverse=True)[:count]

    rules: dict[str, Any] = {rule: count}
    keep = plan(stored, Retention(**rules), NOW, zone).keep

    ruled = [one for one, reasons in keep.items() if any(why.startswith(rule) for why in reasons)]
    assert [one.taken_at for one in ruled] == expected


@given(stored=STORAGES, policy=POLICIES, zone=ZONES, room=st.integers(1, 12))
def test_what_is_left_has_room_unless_it_is_protected(
    stored: list[Stored], policy: Retention, zone: tzinfo, room: int
) -> None:
    roomy = plan(stored, policy, NOW, zone)

    tight = plan(stored, replace(policy, max_space=room), NOW, zone)

    assert tight.crowded_out <= set(tight.delete)
    assert set(tight.delete) - tight.crowded_out <= set(roomy.delete) | {
        one for one in stored if one.broken
    }
    for one in tight.crowded_out:  # only for want of room, and never before an older one
        newer = [other for other in tight.keep if other.taken_at >= one.taken_at]
        counting = [other for other in tight.keep if other.is_counted]
        assert sum(other.size for other in [*counting, one]) > room or not newer
    present = [one for one in stored if one.taken_at <= NOW + AHEAD]
    guards = plan(present, Retention(last=1, min_keep=policy.min_keep), NOW, zone).keep
    assert set(guards) <= set(tight.keep)
