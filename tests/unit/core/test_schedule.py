from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raft_snapshot_agent.core.schedule import (
    MISSED_LIMIT,
    Cron,
    Every,
    Schedule,
    Slot,
    backoff,
    credible_anchor,
)

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")  # its clocks change at midnight
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

TIMES = st.timedeltas(timedelta(0), timedelta(days=1100)).map((NOON - 300 * 24 * HOUR).__add__)
INTERVALS = st.timedeltas(SECOND, timedelta(days=40))
STEPS = st.timedeltas(timedelta(days=-90), timedelta(days=90))
CRONS = st.builds(
    Cron,
    st.sampled_from(
        [
            "* * * * *",
            "*/20 * * * *",
            "0 * * * *",
            "30 2 * * *",
            "0 0 * * *",
            "15,45 1-3 * * *",
            "0 3 * * SUN#2",
            "0 0 29 2 *",
            "0 0 L * *",
            "*/10 * * * * *",
            "@hourly",
            "@weekly",
        ]
    ),
    st.sampled_from([UTC, BERLIN, CAIRO, ZoneInfo("America/New_York")]),
)
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(st.builds(Every, INTERVALS), CRONS)


# A fixed interval.


def test_the_next_is_one_interval_after_the_newest() -> None:
    assert Every(HOUR).next_after(NOON, NOON + 20 * SECOND) == NOON + HOUR


@pytest.mark.parametrize("schedule", [Every(HOUR), Cron("0 * * * *")])
def test_with_nothing_stored_a_snapshot_is_due_now(schedule: Schedule) -> None:
    assert schedule.next_after(None, NOON + SECOND) == NOON + SECOND


@pytest.mark.parametrize("schedule", [Every(HOUR), Cron("0 * * * *")])
def test_missed_runs_are_caught_up_once(schedule: Schedule) -> None:
    now = NOON + 5 * HOUR + 7 * SECOND

    due = schedule.next_after(NOON, now)

    assert due == now
    assert schedule.following(due, now + SECOND).at > now + SECOND


@pytest.mark.parametrize("future", [SECOND, HOUR, 1000 * HOUR])
def test_a_newest_from_the_future_puts_off_nothing(future: timedelta) -> None:
    assert Every(HOUR).next_after(NOON + future, NOON) == NOON + HOUR


def test_the_grid_does_not_drift() -> None:
    due = NOON
    for run in range(1, 200):
        due = Every(HOUR).following(due, due + timedelta(seconds=run % 60, milliseconds=3)).at

    assert due == NOON + 199 * HOUR


@pytest.mark.parametrize(
    ("took", "at", "missed"),
    [
        (timedelta(0), 1, 0),
        (HOUR - SECOND, 1, 0),
        (HOUR, 2, 1),
        (3 * HOUR + SECOND, 4, 3),
    ],
)
def test_a_run_longer_than_the_interval_misses_slots(took: timedelta, at: int, missed: int) -> None:
    assert Every(HOUR).following(NOON, NOON + took) == Slot(NOON + at * HOUR, missed)


def test_after_the_clock_went_back_the_next_is_one_interval_away() -> None:
    now = NOON - 100 * HOUR

    assert Every(HOUR).following(NOON, now) == Slot(now + HOUR, 0)


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-1)])
def test_an_interval_of_no_time_is_refused(interval: timedelta) -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        Every(interval)


@given(interval=INTERVALS, anchor=TIMES, step=STEPS)
@example(interval=SECOND, anchor=NOON, step=-SECOND)
@example(interval=SECOND, anchor=NOON, step=timedelta(0))
def test_the_next_is_never_in_the_past_nor_further_than_an_interval(
    interval: timedelta, anchor: datetime, step: timedelta
) -> None:
    now = anchor + step

    due = Every(interval).next_after(anchor, now)

    assert now <= due <= now + interval
    assert due == now or due - anchor <= interval


@given(interval=INTERVALS, due=TIMES, took=st.timedeltas(timedelta(0), timedelta(days=90)))
@example(interval=SECOND, due=NOON, took=timedelta(days=90))
def test_slots_lie_on_the_grid_and_are_counted(
    interval: timedelta, due: datetime, took: timedelta
) -> None:
    slot = Every(interval).following(due, due + took)

    assert (slot.at - due) % interval == timedelta(0)
    assert due + took < slot.at <= due + took + interval
    assert slot.missed == (slot.at - due) // interval - 1


# Both.


@given(schedule=SCHEDULES, anchor=TIMES, step=STEPS)
def test_a_next_one_is_never_in_the_past(
    schedule: Schedule, anchor: datetime, step: timedelta
) -> None:
    assert schedule.next_after(anchor, anchor + step) >= anchor + step


@given(schedule=SCHEDULES, due=TIMES, step=STEPS)
def test_a_following_one_is_in_the_future_whatever_the_clock_did(
    schedule: Schedule, due: datetime, step: timedelta
) -> None:
    slot = schedule.following(due, due + step)

    assert slot.at > due + step
    assert slot.at != due
    assert slot.missed >= 0


@given(schedule=CRONS, due=TIMES, took=st.timedeltas(timedelta(0), timedelta(hours=30)))
def test_cron_leaves_out_no_slot(schedule: Cron, due: datetime, took: timedelta) -> None:
    slot = schedule.following(due, due + took)

    counted = [schedule.following(due, due).at]
    while counted[-1] <= due + took and len(counted) <= MISSED_LIMIT:
        counted.append(schedule.following(counted[-1], counted[-1]).at)
    assert slot.missed == min(sum(one <= due + took for one in counted), MISSED_LIMIT)
    assert slot.missed == MISSED_LIMIT or slot.at == counted[-1]


@given(schedule=SCHEDULES, start=TIMES)
def test_a_restart_right_after_a_run_does_not_run_again(
    schedule: Schedule, start: datetime
) -> None:
    slot = schedule.following(start, start).at

    assert schedule.next_after(slot, slot + timedelta(milliseconds=1)) > slot + timedelta(
        milliseconds=1
    )


# The anchor, and waiting after failures.


def test_the_anchor_is_the_newest_that_can_be_believed() -> None:
    times = [NOON - HOUR, NOON + HOUR, NOON + 3 * HOUR, NOON - 2 * HOUR]

    assert credible_anchor(times, NOON, timedelta(0)) == NOON - HOUR
    assert credible_anchor(times, NOON, HOUR) == NOON + HOUR
    assert credible_anchor(iter([NOON + 3 * HOUR]), NOON, HOUR) is None
    assert credible_anchor([], NOON, HOUR) is None


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (10**9, 300)],
)
def test_waiting_doubles_up_to_five_minutes(failures: int, seconds: float) -> None:
    assert backoff(failures, HOUR, 0.0) == timedelta(seconds=seconds / 2)
    assert backoff(failures, HOUR, 0.5) == timedelta(seconds=seconds * 0.75)


def test_waiting_is_never_longer_than_the_interval() -> None:
    assert backoff(9, timedelta(seconds=30), 0.5) == timedelta(seconds=22.5)


@given(
    failures=st.integers(1, 10**6),
    interval=INTERVALS,
    jitter=st.floats(0, 1, exclude_max=True),
)
@example(failures=1, interval=SECOND, jitter=0.0)
def test_waiting_is_bounded_from_both_sides(
    failures: int, interval: timedelta, jitter: float
) -> None:
    wait = backoff(failures, interval, jitter)

    assert min(interval, timedelta(seconds=5)) / 2 <= wait
    assert wait <= min(interval, timedelta(minutes=5))
