"""How old the newest snapshot may be, by every kind of schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.schedules.schedule import Cron, Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Stored
from raft_snapshot_agent.core.state.freshness import census, deadline, newest_times

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("interval", "grace"),
    [
        (timedelta(seconds=10), MINUTE),
        (timedelta(minutes=10), 5 * MINUTE),
        (HOUR, 30 * MINUTE),
        (timedelta(days=1), HOUR),
        (timedelta(days=30), HOUR),
    ],
)
def test_a_fixed_distance_is_late_after_a_grace(interval: timedelta, grace: timedelta) -> None:
    found = deadline(ScheduleSpec(Every(interval)), NOW)
    assert (found.due, found.late) == (NOW + interval, NOW + interval + grace)


def test_jitter_and_the_time_a_snapshot_takes_are_waited_for() -> None:
    found = deadline(ScheduleSpec(Every(HOUR), jitter=10 * MINUTE), NOW, took=1200)
    assert found.late == NOW + HOUR + 10 * MINUTE + 20 * MINUTE + 30 * MINUTE


@pytest.mark.parametrize(
    ("taken", "due"),
    [
        (datetime(2026, 11, 26, 3, 0, 4, tzinfo=UTC), datetime(2026, 11, 27, 3, tzinfo=UTC)),
        # By hand, just before the appointment: that one is to come all the same.
        (datetime(2026, 11, 26, 2, 59, tzinfo=UTC), datetime(2026, 11, 26, 3, tzinfo=UTC)),
        (datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 21, 3, tzinfo=UTC)),
    ],
)
def test_a_cron_expression_goes_by_its_appointments(taken: datetime, due: datetime) -> None:
    found = deadline(ScheduleSpec(Cron("0 3 * * *")), taken)
    assert (found.due, found.late) == (due, due + HOUR)
    assert not found.is_missed(due + HOUR)
    assert found.is_missed(due + HOUR + timedelta(seconds=1))


def test_a_weekend_is_no_delay() -> None:
    friday = datetime(2026, 11, 27, 17, 0, 3, tzinfo=UTC)
    found = deadline(ScheduleSpec(Cron("0 9-17 * * 1-5")), friday)
    assert found.due == datetime(2026, 11, 30, 9, tzinfo=UTC)


def test_a_time_that_summer_takes_away_comes_after_it() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    taken = datetime(2026, 3, 28, 1, 30, 2, tzinfo=UTC)
    found = deadline(ScheduleSpec(Cron("30 2 * * *", berlin)), taken)
    assert taken < found.due <= datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@given(st.integers(1, 10**7), st.integers(0, 10**5))
def test_it_is_never_late_before_it_is_due(interval: int, jitter: int) -> None:
    timing = ScheduleSpec(Every(timedelta(seconds=interval)), timedelta(seconds=jitter))
    found = deadline(timing, NOW)
    assert NOW < found.due < found.late


def stored(name: str, taken_at: datetime, **more: object) -> Stored:
    return Stored(name, taken_at, 7, **more)  # type: ignore[arg-type]


def test_only_whole_ones_of_a_believable_date_are_fresh() -> None:
    ancient = NO_TIME
    found = census(
        [
            stored("ahead", NOW + HOUR),
            stored("soon", NOW + MINUTE),
            stored("condemned", NOW, condemned=True),
            stored("mismatched", NOW, mismatched=True),
            stored("old", NOW - HOUR),
            Stored("empty", NOW - 2 * HOUR, 0),
            stored("undated", ancient),
        ],
        NOW,
    )
    assert found.newest is not None
    assert (found.newest.name, found.whole) == ("soon", 2)
    assert [one.name for one in found.ahead] == ["ahead"]
    assert [one.name for one in found.broken] == ["condemned", "empty"]
    assert [one.name for one in found.doubtful] == ["mismatched"]
    assert [one.name for one in found.undated] == ["undated"]


def test_of_a_long_history_the_newest_and_the_future_tell_the_schedule() -> None:
    at = [NOW + number * HOUR for number in (3, 2, 0, -1, -2)]
    listed = [Stored(f"{one}", one, 1, verified=True) for one in at]
    assert newest_times(listed, NOW, vouched=True) == at[:3]

    listed[2] = Stored("no manifest", at[2], 1)
    assert newest_times(listed, NOW, vouched=True) == [*at[:2], at[3]]
    assert newest_times(listed, NOW, vouched=False) == at[:3]
    broken = [Stored("empty", at[0], 0), *listed[1:]]
    assert newest_times(broken, NOW, vouched=False) == at[1:3]
    mismatched = [Stored("other", at[0], 1, verified=True, mismatched=True), *listed[1:]]
    assert newest_times(mismatched, NOW, vouched=False) == at[1:3]
    assert newest_times([], NOW, vouched=True) == []
    undated = Stored("static.snap", NO_TIME, 1)
    assert newest_times([undated], NOW, vouched=False) is None
