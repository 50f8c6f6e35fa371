from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from raft_snapshot_agent.core.history.retention import Plan, Retention, plan
from raft_snapshot_agent.core.snapshots.snapshot import Stored

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


def at(moment: str, size: int = 1, *, verified: bool = False) -> Stored:
    """Name a snapshot by its time, as `2026-11-23T15:30`, in UTC."""
    return Stored(moment, datetime.fromisoformat(moment + "+00:00"), size, verified=verified)


def ago(hours: float, size: int = 1, *, verified: bool = False) -> Stored:
    return Stored(f"{hours} h ago", NOW - timedelta(hours=hours), size, verified=verified)


def kept(
    stored: Iterable[Stored], policy: Retention, now: datetime = NOW, zone: tzinfo = UTC
) -> list[str]:
    return [one.name for one in plan(stored, policy, now, zone).keep]


def why(stored: Iterable[Stored], policy: Retention, zone: tzinfo = UTC) -> dict[str, str]:
    keep = plan(stored, policy, NOW, zone).keep
    return {one.name: ", ".join(reasons) for one, reasons in keep.items()}


# The rules, by hand.

# Snapshots on both sides of Berlin's midnights; its clocks went back on Sunday, 2026-10-25.
BERLINS = [
    at("2026-10-26T22:30"),  # Mon 26 Oct 23:30 +01, week 44
    at("2026-10-26T12:00"),  # Mon 26 Oct 13:00 +01
    at("2026-10-25T23:30"),  # Mon 26 Oct 00:30 +01
    at("2026-10-25T22:30"),  # Sun 25 Oct 23:30 +01, week 43
    at("2026-10-25T01:30"),  # Sun 25 Oct 02:30 +01
    at("2026-10-25T00:30"),  # Sun 25 Oct 02:30 +02
    at("2026-10-24T22:30"),  # Sun 25 Oct 00:30 +02
    at("2026-10-24T21:30"),  # Sat 24 Oct 23:30 +02
    at("2026-10-18T22:30"),  # Mon 19 Oct 00:30 +02
    at("2026-10-18T21:30"),  # Sun 18 Oct 23:30 +02, week 42
    at("2026-09-30T22:30"),  # Thu 1 Oct 00:30 +02, week 40
    at("2026-09-30T21:30"),  # Wed 30 Sep 23:30 +02
    at("2026-03-29T22:30"),  # Mon 30 Mar 00:30 +02, week 14: the day after the clocks went forward
    at("2026-03-29T21:30"),  # Sun 29 Mar 23:30 +02, week 13
    at("2026-03-28T23:30"),  # Sun 29 Mar 00:30 +01
    at("2026-03-28T22:30"),  # Sat 28 Mar 23:30 +01
    at("2025-12-31T23:30"),  # Thu 1 Jan 2026 00:30 +01, week 1 of 2026
    at("2025-12-31T22:30"),  # Wed 31 Dec 2025 23:30 +01, week 1 of 2026, too
]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Retention(last=2), ["2026-10-26T22:30", "2026-10-26T12:00"]),
        (
            Retention(hourly=6),
            [
                "2026-10-26T22:30",
                "2026-10-26T12:00",
                "2026-10-25T23:30",
                "2026-10-25T22:30",
                "2026-10-25T01:30",
                "2026-10-25T00:30",
            ],
        ),
        (Retention(daily=3), ["2026-10-26T22:30", "2026-10-25T22:30", "2026-10-24T21:30"]),
        (
            Retention(daily=9),
            [
                "2026-10-26T22:30",
                "2026-10-25T22:30",
                "2026-10-24T21:30",
                "2026-10-18T22:30",
                "2026-10-18T21:30",
                "2026-09-30T22:30",
                "2026-09-30T21:30",
                "2026-03-29T22:30",
                "2026-03-29T21:30",
            ],
        ),
        (
            Retention(weekly=9),
            [
                "2026-10-26T22:30",
                "2026-10-25T22:30",
                "2026-10-18T21:30",
                "2026-09-30T22:30",
                "2026-03-29T22:30",
                "2026-03-29T21:30",
                "2025-12-31T23:30",
            ],
        ),
        (
            Retention(monthly=4),
            ["2026-10-26T22:30", "2026-09-30T21:30", "2026-03-29T22:30", "2025-12-31T23:30"],
        ),
        (Retention(yearly=2), ["2026-10-26T22:30", "2025-12-31T22:30"]),
        (
            Retention(last=2, daily=2, weekly=2, monthly=2, yearly=2),
            [
                "2026-10-26T22:30",
                "2026-10-26T12:00",
                "2026-10-25T22:30",
                "2026-09-30T21:30",
                "2025-12-31T22:30",
            ],
        ),
    ],
)
def test_periods_begin_at_the_zones_midnight_across_changes_of_the_clock(
    policy: Retention, expected: list[str]
) -> None:
    assert kept(BERLINS, policy, zone=BERLIN) == expected


def test_periods_without_a_snapshot_do_not_count() -> None:
    stored = [ago(0), ago(24 * 40), ago(24 * 90)]

    assert kept(stored, Retention(daily=2)) == ["0 h ago", "960 h ago"]


def test_within_counts_from_the_newest() -> None:
    stored = [ago(1000), ago(1023.5), ago(1024), ago(1100)]

    assert kept(stored, Retention(within=timedelta(days=1))) == ["1000 h ago", "1023.5 h ago"]


def test_within_counts_from_now_where_the_newest_is_from_the_future() -> None:
    stored = [ago(-1000), ago(1), ago(23), ago(25)]

    assert kept(stored, Retention(within=timedelta(days=1))) == [
        "-1000 h ago",
        "1 h ago",
        "23 h ago",
    ]


def test_reasons_are_in_an_operators_words() -> None:
    stored = [
        at("2026-11-23T15:00"),
        at("2026-11-23T14:00", verified=True),
        at("2026-11-22T23:30"),
        at("2026-10-31T12:00"),
        at("2025-06-01T12:00"),
    ]
    policy = Retention(last=2, hourly=1, daily=2, monthly=2, yearly=2, within=timedelta(days=7))

    assert why(stored, policy) == {
        "2026-11-23T15:00": (
            "newest, last 1 of 2, hourly 2026-11-23 15:00 +0000, daily 2026-11-23,"
            " monthly 2026-11, yearly 2026, within 7d"
        ),
        "2026-11-23T14:00": "newest verified, last 2 of 2, within 7d",
        "2026-11-22T23:30": "daily 2026-11-22, within 7d",
        "2026-10-31T12:00": "monthly 2026-10",
        "2025-06-01T12:00": "yearly 2025",
    }


def test_reasons_name_the_zones_hour_and_week_and_the_duration() -> None:
    stored = [at("2026-10-25T00:30"), at("2026-10-25T01:30")]
    policy = Retention(hourly=2, weekly=1, within=timedelta(minutes=90), min_keep=0)

    assert why(stored, policy, BERLIN) == {
        "2026-10-25T01:30": "newest, hourly 2026-10-25 02:00 +0100, weekly 2026-W43, within 1h30m",
        "2026-10-25T00:30": "hourly 2026-10-25 02:00 +0200, within 1h30m",
    }


# What asks for nothing.


@pytest.mark.parametrize(
    "policy",
    [
        Retention(),
        Retention(last=0),
        Retention(0, 0, 0, 0, 0, 0, timedelta(0), 0),
        Retention(min_keep=3),
    ],
)
def test_without_a_rule_everything_is_kept_even_what_is_broken(policy: Retention) -> None:
    stored = [ago(0), ago(1, size=0), ago(99_999)]

    done = plan(stored, replace(policy, max_deletes=0), NOW)

    assert done.delete == ()
    assert done.refused == ""
    assert {done.keep[stored[0]], done.keep[stored[2]]} == {("no rule is set",)}
    assert done.keep[stored[1]] == ("empty: does not count for retention",)
    assert done.review == ()


def test_a_zero_beside_another_rule_asks_for_nothing() -> None:
    assert kept([ago(0), ago(1), ago(30)], Retention(last=0, daily=2)) == ["0 h ago", "30 h ago"]


def test_nothing_stored_is_nothing_to_do() -> None:
    assert plan([], Retention(last=1), NOW) == Plan({}, ())


# The guards.


def test_the_newest_verified_one_stays() -> None:
    stored = [ago(0), ago(1), ago(500, verified=True), ago(501, verified=True)]

    assert why(stored, Retention(last=1)) == {
        "0 h ago": "newest, last 1 of 1",
        "500 h ago": "newest verified",
    }


def test_snapshots_from_the_future_fill_no_rule_and_stay() -> None:
    junk = [ago(-9000 - number, verified=True) for number in range(31)]
    real = [ago(hours, verified=True) for hours in range(24)]

    done = plan([*junk, *real], Retention(last=5, daily=3, within=timedelta(hours=2)), NOW)

    alone = plan(real, Retention(last=5, daily=3, within=timedelta(hours=2)), NOW)
    assert done.delete == alone.delete
    assert {one: done.keep[one] for one in alone.keep} == dict(alone.keep)
    assert done.keep[junk[0]] == ("dated in the future: does not count for retention",)


def test_a_clock_that_is_a_little_ahead_is_not_the_future() -> None:
    assert kept([ago(-0.1), ago(1)], Retention(last=1)) == ["-0.1 h ago"]


def test_min_keep_stays_whatever_its_age() -> None:
    stored = [ago(9000), ago(9001), ago(9002), ago(9003)]
    policy = Retention(within=timedelta(hours=1), min_keep=3)

    assert why(stored, policy) == {
        "9000 h ago": "newest, within 1h",
        "9001 h ago": "kept: min_keep",
        "9002 h ago": "kept: min_keep",
    }


def condemned(hours: float, days: float | None) -> Stored:
    """One whose note says that it was found broken so many days ago."""
    since = None if days is None else NOW - timedelta(days=days)
    return replace(ago(hours, verified=True), condemned=True, condemned_at=since)


def test_empty_ones_count_for_nothing_and_are_looked_at_after_keep_broken() -> None:
    stored = [ago(0), ago(1, size=0, verified=True), ago(2), ago(721, size=0), ago(722)]

    done = plan(stored, Retention(last=2, min_keep=3), NOW)

    assert [one.name for one in done.keep] == [one.name for one in stored]
    assert done.keep[stored[1]] == ("empty: does not count for retention",)
    assert done.keep[stored[4]] == ("kept: min_keep",)
    assert done.delete == ()
    assert done.review == (stored[3],)


def test_a_broken_one_stays_until_something_whole_is_newer() -> None:
    stored = [condemned(0, 99), ago(1), condemned(2, 99), ago(3)]

    done = plan(stored, Retention(last=1), NOW)

    assert done.review == (stored[2],)
    assert done.delete == (stored[3],)


@pytest.mark.parametrize(
    ("days", "is_due"), [(29.9, False), (30, True), (31, True), (-9999, False), (None, True)]
)
def test_a_condemned_one_is_never_deleted_and_looked_at_again_when_its_time_is_over(
    days: float | None, is_due: bool
) -> None:
    """A note that does not tell since when is looked into at once."""
    one = condemned(5, days)

    done = plan([ago(0), one], Retention(last=1), NOW)

    assert done.delete == ()
    assert done.review == ((one,) if is_due else ())
    assert plan([ago(0), one], Retention(last=1, keep_broken=timedelta(365)), NOW).review == (
        (one,) if days is None else ()
    )


def test_notes_beside_everything_delete_nothing() -> None:
    """Whoever may create objects condemns the whole history, and adds one junk snapshot."""
    real = [replace(ago(hours, verified=True), condemned=True) for hours in range(1, 25)]
    junk = ago(0.5)

    done = plan([junk, *real], Retention(last=1, min_keep=5), NOW)

    assert done.delete == ()
    assert set(done.keep) == {junk, *real}


def test_without_a_rule_nothing_is_looked_at_but_by_hand() -> None:
    stored = [ago(0), condemned(1, 99), condemned(2, 1), replace(ago(3), mismatched=True)]

    assert plan(stored, Retention(), NOW).review == ()
    assert plan(stored, Retention(), NOW, ignore_keep_broken=True).review == (stored[2], stored[1])


def test_what_its_manifest_does_not_describe_fills_no_rule_and_stays() -> None:
    stored = [replace(ago(0, verified=True), mismatched=True), ago(1), ago(2)]

    done = plan(stored, Retention(last=1), NOW)

    assert done.keep[stored[0]] == (
        "not what its manifest describes: does not count for retention",
    )
    assert done.keep[stored[1]] == ("newest", "last 1 of 1")
    assert done.delete == (stored[2],)
    assert done.review == ()


def test_a_storage_of_broken_ones_is_left_alone() -> None:
    stored = [ago(0, size=0), ago(1, size=0)]

    assert plan(stored, Retention(last=1), NOW).delete == ()


def test_the_oldest_goes_first() -> None:
    stored = [ago(hours) for hours in (2, 0, 3, 1)]

    delete = plan(stored, Retention(last=1), NOW).delete

    assert [one.name for one in delete] == ["3 h ago", "2 h ago", "1 h ago"]


def test_a_plan_that_deletes_too_much_deletes_nothing() -> None:
    stored = [ago(hours) for hours in range(5)]

    allowed = plan(stored, Retention(last=2, max_deletes=3), NOW)
    refused = plan(stored, Retention(last=2, max_deletes=2), NOW)

    assert len(allowed.delete) == 3
    assert allowed.refused == ""
    assert refused.delete == ()
    assert refused.refused == "would delete 3 snapshots, more than max_deletes 2"
    assert list(refused.keep) == stored
    assert refused.keep[stored[1]] == ("last 2 of 2",)
    assert refused.keep[stored[4]] == ("nothing is deleted",)
    assert refused.withheld == allowed.delete


def test_what_is_to_be_read_again_counts_as_a_delete() -> None:
    stored = [ago(0), condemned(1, 99), ago(2)]

    refused = plan(stored, Retention(last=1, max_deletes=1), NOW)

    assert refused.refused == "would delete 2 snapshots, more than max_deletes 1"
    assert refused.review == ()


def test_what_an_operator_holds_stays_whatever_the_rules_say() -> None:
    stored = [ago(0), ago(1), replace(ago(2), held=True), replace(ago(3, size=0), held=True)]

    assert why(stored, Retention(last=1)) == {
        "0 h ago": "newest, last 1 of 1",
        "2 h ago": "held",
        "3 h ago": "held, empty: does not count for retention",
    }


def test_safety_snapshots_go_by_the_rules_beside_the_others() -> None:
    safety = [replace(ago(hours, verified=True), safety=True) for hours in (2.5, 3.5, 9)]
    held = replace(safety[2], held=True)
    stored = [ago(hours, verified=True) for hours in (1, 2, 3, 4, 5)]

    assert why([*stored, safety[0], safety[1], held], Retention(last=3)) == {
        "1 h ago": "newest, newest verified, last 1 of 3",
        "2 h ago": "last 2 of 3",
        "2.5 h ago": "safety snapshot, last 3 of 3",
        "3 h ago": "last 3 of 3",
        "9 h ago": "held",
    }
    assert "safety snapshot" not in why(stored, Retention(last=3))["1 h ago"]


def test_room_is_made_of_safety_snapshots_first() -> None:
    safety = replace(ago(1, size=10), safety=True)
    stored = [ago(0, size=10), safety, ago(2, size=10), ago(3, size=10)]

    assert plan(stored, Retention(max_space=30), NOW).crowded_out == {safety}
    assert plan(stored, Retention(max_space=40), NOW).delete == ()
    held = [replace(one, held=one.safety) for one in stored]
    assert plan(held, Retention(max_space=30), NOW).delete == ()


def test_what_was_found_broken_fulfils_no_rule() -> None:
    stored = [ago(0), condemned(1, 3), ago(2), ago(3)]

    done = plan(stored, Retention(last=2), NOW)

    assert [one.name for one in done.keep] == ["0 h ago", "1 h ago", "2 h ago"]
    assert done.keep[stored[1]] == ("broken since 2026-11-20",)
    assert [one.name for one in done.delete] == ["3 h ago"]


def test_what_is_held_is_not_even_looked_at() -> None:
    stored = [ago(0), replace(condemned(1, 99), held=True)]

    assert plan(stored, Retention(last=1), NOW, ignore_keep_broken=True).review == ()


def test_the_oldest_make_room() -> None:
    stored = [ago(hours, size=10) for hours in range(5)]

    done = plan(stored, Retention(max_space=30), NOW)

    assert [one.name for one in done.keep] == ["0 h ago", "1 h ago", "2 h ago"]
    assert done.crowded_out == {stored[3], stored[4]}
    assert kept(stored, Retention(last=4, max_space=1000)) == [one.name for one in stored[:4]]


def test_room_is_never_made_of_the_newest_the_held_or_the_least_number() -> None:
    stored = [ago(0, size=50), ago(1, size=9), replace(ago(2, size=9), held=True), ago(3, size=9)]

    assert kept(stored, Retention(max_space=10)) == ["0 h ago", "2 h ago"]
    assert kept(stored, Retention(max_space=10, min_keep=2)) == ["0 h ago", "1 h ago", "2 h ago"]


def test_what_is_from_the_future_makes_room_first() -> None:
    stored = [ago(-9000, size=50), ago(0, size=10), ago(1, size=10), ago(2, size=10)]

    assert plan(stored, Retention(max_space=70), NOW).crowded_out == {stored[0]}
    assert plan(stored, Retention(max_space=20), NOW).crowded_out == {stored[0], stored[3]}


def test_a_clock_that_was_set_back_deletes_nothing_that_has_room() -> None:
    stored = [ago(-9000, size=50), ago(-9001, size=50, verified=True), ago(-9002, size=50)]

    assert plan(stored, Retention(last=1), NOW).delete == ()
    assert plan(stored, Retention(last=1, max_space=1), NOW).delete == (stored[0],)


def test_nothing_is_deleted_while_it_is_forbidden() -> None:
    stored = [ago(hours) for hours in range(3)]

    done = plan(stored, Retention(last=1), NOW, forbidden="the cluster is another")

    assert done.delete == ()
    assert done.refused == "the cluster is another"
    assert set(done.keep) == set(stored)
