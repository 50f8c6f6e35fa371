from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from raft_snapshot_agent.core.schedule import Cron, Every, Schedule
from raft_snapshot_agent.core.timetable import Timetable

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURLY, DAILY = Every(HOUR), Every(DAY)


def simulated(
    schedules: Mapping[str, Schedule],
    length: timedelta,
    run: timedelta = timedelta(seconds=7),
    begin: datetime = NOW,
    **taken: list[datetime],
) -> list[tuple[datetime, frozenset[str]]]:
    """Let the time pass; each run takes as long as that. Returns when which storages were served."""
    table = Timetable.begin(schedules, taken, begin)
    now, runs = begin, []
    while now < begin + length:
        now = max(now, table.next_due)
        due = table.due(now)
        runs.append((now, due))
        now += run
        table = table.served(due, now)
    return [one for one in runs if one[0] < begin + length]


def test_hourly_to_disk_and_daily_to_s3_is_one_run_a_day_for_both() -> None:
    runs = simulated({"disk": HOURLY, "s3": DAILY}, 5 * DAY, disk=[], s3=[])

    assert len(runs) == 5 * 24
    both = [moment for moment, names in runs if names == {"disk", "s3"}]
    assert both == [NOW + number * DAY for number in range(5)]


def test_two_that_drifted_apart_by_a_moment_are_served_together() -> None:
    last = NOW - timedelta(minutes=30)
    runs = simulated(
        {"disk": HOURLY, "s3": DAILY},
        2 * DAY,
        disk=[last],
        s3=[last - 23 * HOUR + timedelta(seconds=20)],
    )

    assert sum("s3" in names for _, names in runs) == 2
    assert all("disk" in names for _, names in runs)


def test_the_time_of_a_cron_expression_is_an_appointment() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    schedules: dict[str, Schedule] = {
        "disk": Every(timedelta(minutes=59)),
        "s3": Cron("0 3 * * *", berlin),
    }
    runs = simulated(schedules, 3 * DAY, disk=[NOW], s3=[NOW])

    for_s3 = [moment for moment, names in runs if "s3" in names]
    assert [moment.astimezone(berlin).hour for moment in for_s3] == [3, 3, 3]
    assert all(moment.minute in {0, 1} for moment in for_s3)


def test_a_year_of_hours_and_days_is_complete() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(2027, 12, 31, 23, tzinfo=UTC)  # 2028 is a leap year
    schedules = {"hourly": Cron("@hourly", berlin), "nightly": Cron("30 2 * * *", berlin)}
    runs = simulated(schedules, 366 * DAY, begin=begin, hourly=[begin], nightly=[begin])

    hourly = [moment for moment, names in runs if "hourly" in names]
    nightly = [moment.astimezone(berlin).date() for moment, names in runs if "nightly" in names]
    assert hourly == [begin + number * HOUR for number in range(1, 366 * 24)]
    assert len(nightly) == len(set(nightly)) == 366


def test_a_restart_neither_skips_nor_doubles() -> None:
    times: dict[str, list[datetime]] = {"disk": [], "s3": []}
    now = NOW
    while now < NOW + 2 * DAY:
        table = Timetable.begin({"disk": HOURLY, "s3": DAILY}, times, now)
        if table.next_due > now:
            now += timedelta(minutes=7)  # it crashes and begins anew before anything is due
            continue
        for name in table.due(now):
            times[name].append(now)

    assert len(times["disk"]) in range(43, 49)
    assert len(times["s3"]) == 2


def test_one_that_cannot_be_listed_or_is_empty_goes_by_the_others_on_its_schedule() -> None:
    last = NOW - timedelta(minutes=30)

    table = Timetable.begin(
        {"disk": HOURLY, "s3": HOURLY, "new": DAILY, "empty": HOURLY},
        {"disk": [last], "new": [], "empty": []},
        NOW,
    )

    assert table.lines["s3"].due == table.lines["disk"].due == last + HOUR
    assert table.lines["empty"].due == last + HOUR
    assert table.due(NOW) == {"new"}


def test_slots_that_passed_during_a_run_are_counted() -> None:
    table = Timetable.begin({"disk": HOURLY, "s3": DAILY}, {"disk": [], "s3": []}, NOW)

    served = table.served({"disk", "s3"}, NOW + 3 * HOUR + timedelta(minutes=1))

    assert served.lines["disk"].missed == 3
    assert served.lines["disk"].due == NOW + 4 * HOUR
    assert served.lines["s3"].missed == 0


def test_a_clock_that_was_set_back_does_not_stop_the_work() -> None:
    table = Timetable.begin({"disk": HOURLY}, {"disk": []}, NOW)

    served = table.served({"disk"}, NOW - 5 * DAY)

    assert served.next_due == NOW - 5 * DAY + HOUR
