from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raft_snapshot_agent.core.schedule import (
    MISSED_LIMIT,
    Cron,
    Schedule,
    Slot,
)

BERLIN = ZoneInfo("Europe/Berlin")
CAIRO = ZoneInfo("Africa/Cairo")  # its clocks change at midnight
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(UTC)


def upcoming(schedule: Schedule, start: str, count: int) -> list[datetime]:
    slots = [schedule.following(utc(start), utc(start)).at]
    while len(slots) < count:
        slots.append(schedule.following(slots[-1], slots[-1]).at)
    return slots


@pytest.mark.parametrize(
    ("alias", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        (" @Daily ", "0 0 * * *"),
    ],
)
def test_an_alias_means_its_fields(alias: str, fields: str) -> None:
    start = "2026-11-23T12:34:56Z"

    assert upcoming(Cron(alias, BERLIN), start, 3) == upcoming(Cron(fields, BERLIN), start, 3)


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        # Spring: 02:00 to 03:00 does not exist.
        (
            "30 2 * * *",
            "2026-03-28T12:00+01:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            "0,30 2 * * *",
            "2026-03-28T12:00+01:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            "0 * * * *",
            "2026-03-29T00:30+01:00",
            ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"],
        ),
        # Autumn: 02:00 to 03:00 comes twice.
        (
            "30 2 * * *",
            "2026-10-25T00:00+02:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
        ),
        ("30 2 * * *", "2026-10-25T02:10+01:00", ["2026-10-26T02:30+01:00"]),
        (
            "0 * * * *",
            "2026-10-25T01:30+02:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
        ),
        # Leap day, last day of the month, seconds.
        ("0 0 29 2 *", "2026-01-01T00:00+01:00", ["2028-02-29T00:00+01:00"]),
        ("0 0 L * *", "2028-02-01T00:00+01:00", ["2028-02-29T00:00+01:00"]),
        ("*/20 * * * * *", "2026-01-01T00:00:01+01:00", ["2026-01-01T00:00:20+01:00"]),
    ],
)
def test_slots_follow_berlins_clock(expression: str, start: str, expected: list[str]) -> None:
    assert upcoming(Cron(expression, BERLIN), start, len(expected)) == [*map(utc, expected)]


def test_without_a_zone_cron_is_in_utc() -> None:
    assert upcoming(Cron("30 2 * * *"), "2026-03-29T00:00Z", 1) == [utc("2026-03-29T02:30Z")]


def test_cron_waits_for_its_slot() -> None:
    schedule = Cron("0 */4 * * *")

    assert schedule.next_after(NOON, NOON + HOUR) == NOON + 4 * HOUR
    assert schedule.next_after(NOON - SECOND, NOON) == NOON
    assert schedule.next_after(NOON - SECOND, NOON + HOUR) == NOON + HOUR


def test_for_cron_a_newest_from_the_future_puts_off_nothing() -> None:
    schedule = Cron("0 */4 * * *")

    assert schedule.next_after(NOON + 1000 * HOUR, NOON + HOUR) == NOON + 4 * HOUR


def test_cron_counts_the_slots_a_long_run_missed() -> None:
    schedule = Cron("0 * * * *")

    assert schedule.following(NOON, NOON + SECOND) == Slot(NOON + HOUR, 0)
    assert schedule.following(NOON, NOON + HOUR) == Slot(NOON + 2 * HOUR, 1)
    assert schedule.following(NOON, NOON + 3 * HOUR + SECOND) == Slot(NOON + 4 * HOUR, 3)


def test_a_clock_that_jumps_years_does_not_make_cron_count_for_ever() -> None:
    now = NOON + timedelta(days=20_000)

    assert Cron("* * * * * *").following(NOON, now) == Slot(now + SECOND, MISSED_LIMIT)


def test_cron_does_not_repeat_a_slot_when_the_clock_goes_back() -> None:
    schedule = Cron("0 * * * *")

    assert schedule.following(NOON, NOON - SECOND).at == NOON + HOUR
    assert schedule.following(NOON, NOON - 3 * HOUR).at == NOON - 2 * HOUR


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "hourly",
        "@reboot",
        "@every 1h",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 30 2 *",
        "0 0 * * MON-",
        "*/0 * * * *",
        "5-1 * * * *",
        "0 0 1 1 2026",
    ],
)
def test_what_is_no_cron_expression_is_named(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is not a cron expression \(.*@hourly") as raised:
        Cron(expression)
    assert repr(expression) in str(raised.value)


def test_an_expression_whose_time_never_comes_is_named() -> None:
    # The first of a month that is its second Monday, too.
    with pytest.raises(ValueError, match=r"'0 0 \*/31 \* MON#2' never comes"):
        Cron("0 0 */31 * MON#2")


@given(st.text("0123456789*/,-#LW @MONhourly", max_size=24))
def test_any_text_is_a_schedule_or_a_value_error(text: str) -> None:
    try:
        schedule = Cron(text, BERLIN)
    except ValueError:
        return
    assert schedule.following(NOON, NOON).at > NOON


@settings(max_examples=25)
@given(zone=st.sampled_from([BERLIN, CAIRO]), hour=st.integers(0, 23), minute=st.integers(0, 59))
@example(zone=BERLIN, hour=2, minute=0)
@example(zone=BERLIN, hour=2, minute=59)
@example(zone=CAIRO, hour=0, minute=0)
@example(zone=CAIRO, hour=23, minute=30)
def test_a_daily_time_comes_once_on_every_day_of_the_year(
    zone: tzinfo, hour: int, minute: int
) -> None:
    slots = upcoming(Cron(f"{minute} {hour} * * *", zone), "2026-01-01T12:00:00Z", 400)

    days = [slot.astimezone(zone).date() for slot in slots]
    assert days == [days[0] + timedelta(days=number) for number in range(400)]
    assert date(2026, 3, 29) in days
    wall = [slot.astimezone(zone).time().replace(fold=0) for slot in slots]
    assert sum((one.hour, one.minute) != (hour, minute) for one in wall) <= 2
