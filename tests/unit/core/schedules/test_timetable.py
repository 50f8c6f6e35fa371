from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from raft_snapshot_agent.core.schedules.schedule import Cron, Every, Schedule
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.core.state.freshness import deadline
from raft_snapshot_agent.core.state.overdue import find_overdue

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURLY, DAILY = Every(HOUR), Every(DAY)
EACH_HOUR, EACH_DAY = ScheduleSpec(HOURLY), ScheduleSpec(DAILY)


def simulated(
    schedules: Mapping[str, Schedule],
    length: timedelta,
    run: timedelta = timedelta(seconds=7),
    begin: datetime = NOW,
    **taken: list[datetime],
) -> list[tuple[datetime, frozenset[str]]]:
    """Let the time pass; each run takes as long as that. Returns when which storages were served."""
    timings = {name: ScheduleSpec(schedule) for name, schedule in schedules.items()}
    table = ScheduleState.begin(timings, taken, begin)
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


def fleet(
    schedule: Schedule, taken: list[datetime], count: int = 200, *, catch_up: bool = True
) -> list[ScheduleState]:
    """Begin with many clusters that are due at the same moment, a tenth of a second apart."""
    timings = [
        ScheduleSpec(schedule, catch_up=catch_up, phase=number * timedelta(seconds=0.1))
        for number in range(count)
    ]
    return [ScheduleState.begin({"s3": one}, {"s3": taken}, NOW) for one in timings]


@pytest.mark.parametrize("taken", [[], [NOW - DAY], [NOW - HOUR]], ids=["none", "old", "due now"])
def test_many_that_are_due_at_once_are_spread_and_stay_so(taken: list[datetime]) -> None:
    tables = fleet(HOURLY, taken)
    for each in range(3):
        due = [one.next_due - NOW - each * HOUR for one in tables]
        assert due == [number * timedelta(seconds=0.1) for number in range(200)]
        # However long the one before takes.
        ended = NOW + each * HOUR + timedelta(minutes=7)
        tables = [one.served({"s3"}, ended) for one in tables]


def test_those_that_are_not_due_at_once_are_left_where_they_are() -> None:
    for catch_up in (True, False):
        tables = fleet(HOURLY, [NOW - HOUR / 3], catch_up=catch_up)
        assert {one.next_due for one in tables} == {NOW + HOUR * 2 / 3}


def test_the_moments_of_a_cron_expression_stay_and_each_is_behind_them() -> None:
    tables = fleet(Cron("0 * * * *"), [NOW - HOUR / 4])
    for each in range(3):
        moment = NOW + HOUR / 2 + each * HOUR
        assert [one.next_due - moment for one in tables] == [
            number * timedelta(seconds=0.1) for number in range(200)
        ]
        assert {one.lines["s3"].missed for one in tables} == {0}
        tables = [one.served({"s3"}, one.next_due + timedelta(seconds=3)) for one in tables]


def test_who_is_behind_by_more_than_a_slot_misses_none() -> None:
    minute = timedelta(minutes=1)
    for late in (minute / 2, minute, 2 * minute + timedelta(seconds=5), 10 * minute):
        timing = ScheduleSpec(Cron("* * * * *"), phase=late)
        turn = NOW + late
        begun = turn - timedelta(seconds=1)
        table = ScheduleState.begin({"s3": timing}, {"s3": [turn - minute]}, begun)
        served = []
        for _ in range(20):
            served.append(table.next_due)
            assert table.due(table.next_due) == {"s3"}
            assert table.lines["s3"].missed == 0
            table = table.served({"s3"}, table.next_due + timedelta(seconds=7))
        assert [later - one for one, later in pairwise(served)] == [minute] * 19


def test_what_fails_behind_by_more_than_a_slot_goes_on_with_the_next() -> None:
    timing = ScheduleSpec(Cron("* * * * *"), phase=timedelta(minutes=5))
    table = ScheduleState.begin({"s3": timing}, {"s3": []}, NOW)
    due = table.next_due

    assert table.failed({"s3"}, due).next_due == due + timedelta(minutes=1)


def test_a_restart_before_its_turn_leaves_a_cluster_its_turn() -> None:
    late, second = timedelta(minutes=2), timedelta(seconds=1)
    timing = ScheduleSpec(Cron("30 * * * *"), phase=late)

    def due(started: datetime) -> datetime:
        return ScheduleState.begin({"s3": timing}, {"s3": [NOW + late - HOUR]}, started).next_due

    assert {due(NOW + number * second) for number in range(-5, 120)} == {NOW + late}
    assert due(NOW + HOUR / 2) == NOW + HOUR / 2 + late  # missed: one after the other, as ever


def test_a_storage_with_a_schedule_of_its_own_is_as_far_behind() -> None:
    usual = ScheduleSpec(HOURLY, phase=timedelta(minutes=2))

    assert usual.own(None) is usual
    assert usual.own(EACH_DAY).phase == timedelta(minutes=2)
    assert usual.own(EACH_DAY).schedule == DAILY


def test_nobody_is_late_who_waits_for_the_first_turn_after_the_start() -> None:
    timing, long_ago = (
        ScheduleSpec(Every(timedelta(minutes=1)), phase=timedelta(minutes=3)),
        NOW - DAY,
    )

    def overdue(since_start: timedelta, newest: datetime) -> bool:
        found = find_overdue({"s3": timing}, {"s3": [newest]}, NOW, NOW + since_start)
        return found is not None

    assert not overdue(timedelta(minutes=3), long_ago)
    assert overdue(timedelta(minutes=5), long_ago)
    assert overdue(timedelta(minutes=5), NOW + timedelta(minutes=1))


def test_what_is_behind_by_intent_is_not_late() -> None:
    cron, late = Cron("0 * * * *"), timedelta(minutes=2)
    for schedule, later in ((cron, late), (HOURLY, timedelta(0))):
        usual = deadline(ScheduleSpec(schedule), NOW)
        assert deadline(ScheduleSpec(schedule, phase=late), NOW).late == usual.late + later


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
        table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_DAY}, times, now)
        if table.next_due > now:
            now += timedelta(minutes=7)  # it crashes and begins anew before anything is due
            continue
        for name in table.due(now):
            times[name].append(now)

    assert len(times["disk"]) in range(43, 49)
    assert len(times["s3"]) == 2


def test_each_storage_goes_by_what_it_holds_itself() -> None:
    """The agent was killed when one had its snapshot and the other had not."""
    slot, now = NOW - timedelta(minutes=2), NOW
    for lacking in ([slot - HOUR], []):  # one that is new, or was empty all along, lacks it too
        table = ScheduleState.begin(
            {"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [slot], "s3": lacking}, now
        )

        assert table.lines["disk"].due == slot + HOUR
        assert table.lines["s3"].due - now <= timedelta(minutes=1)
        then = table.lines["s3"].due
        assert table.due(then) == {"s3"}
        assert table.served({"s3"}, then).due(slot + HOUR) == {"disk", "s3"}, "together again"


def test_a_crash_loop_tries_one_that_lacks_its_snapshot_at_growing_distances() -> None:
    timings = {"disk": EACH_HOUR, "s3": EACH_HOUR}
    tries: list[datetime] = []
    now = NOW
    while now < NOW + HOUR - timedelta(minutes=1):
        table = ScheduleState.begin(timings, {"disk": [NOW], "s3": []}, now)
        if table.next_due <= now + timedelta(seconds=2):  # it lives for two seconds each time
            assert table.due(table.next_due) == {"s3"}
            tries.append(table.next_due)
        now += timedelta(seconds=3)

    assert len(tries) <= 4 + 60
    assert len([one for one in tries if one < NOW + timedelta(minutes=5)]) <= 9


def test_one_that_cannot_be_listed_is_looked_at_again_before_it_is_served() -> None:
    last = NOW - timedelta(minutes=30)
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [last]}, NOW)
    then = table.next_due

    assert table.lines["disk"].due == last + HOUR
    assert table.looked_at_again(then) == {"s3"}
    assert table.after_look({"disk": [last]}, then).due(then) == set(), "still nobody knows"
    assert table.after_look({"disk": [last], "s3": [last]}, then).next_due == last + HOUR
    lacks = table.after_look({"disk": [last], "s3": [last - HOUR]}, then)
    assert lacks.due(then) == {"s3"}
    assert lacks.served({"s3"}, then).due(last + HOUR) == {"disk", "s3"}


def test_without_catching_up_a_storage_that_is_new_waits_and_one_left_out_does_not() -> None:
    context = ScheduleSpec(HOURLY, catch_up=False)
    timings = {"disk": context, "s3": context}

    new = ScheduleState.begin(timings, {"disk": [NOW], "s3": []}, NOW + timedelta(minutes=10))
    left_out = ScheduleState.begin(
        timings, {"disk": [NOW], "s3": [NOW - HOUR]}, NOW + timedelta(minutes=10)
    )

    assert new.next_due == NOW + HOUR
    assert left_out.next_due <= NOW + timedelta(minutes=11)


def test_two_that_were_served_late_by_each_other_go_along_together_after_a_restart() -> None:
    late = NOW + timedelta(minutes=6)
    table = ScheduleState.begin(
        {"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [NOW], "s3": [late]}, NOW + HOUR / 2
    )

    assert table.lines["disk"].due == table.lines["s3"].due == late + HOUR


def test_cron_slots_are_the_same_for_a_storage_that_was_left_out() -> None:
    timing = ScheduleSpec(Cron("0 * * * *"))
    table = ScheduleState.begin(
        {"disk": timing, "s3": timing},
        {"disk": [NOW - HOUR / 2], "s3": [NOW - HOUR]},
        NOW - HOUR / 4,
    )

    assert table.lines["disk"].due == NOW + HOUR / 2
    then = table.next_due
    assert table.due(then) == {"s3"}
    assert table.served({"s3"}, then).lines["s3"].due == NOW + HOUR / 2


def test_slots_that_passed_during_a_run_are_counted() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_DAY}, {"disk": [], "s3": []}, NOW)

    served = table.served({"disk", "s3"}, NOW + 3 * HOUR + timedelta(minutes=1))

    assert served.lines["disk"].missed == 3
    assert served.lines["disk"].due == NOW + 4 * HOUR
    assert served.lines["s3"].missed == 0


def test_a_clock_that_was_set_back_does_not_stop_the_work() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR}, {"disk": []}, NOW)

    served = table.served({"disk"}, NOW - 5 * DAY)

    assert served.next_due == NOW - 5 * DAY + HOUR


def test_who_stands_by_goes_by_what_all_can_see_and_not_by_its_own_disk() -> None:
    """Beside three nodes, each with a disk of its own and one bucket for all."""
    table = ScheduleState.begin(
        {"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [NOW], "s3": [NOW]}, NOW
    )
    slot = NOW + HOUR
    now = slot + timedelta(minutes=5)
    stood_by = table.stood_by({"disk", "s3"}, slot)

    done = stood_by.after_others({"disk": [NOW], "s3": [NOW, slot]}, now, private={"disk"})
    assert done.next_due == slot + HOUR
    assert stood_by.after_others({"disk": [NOW], "s3": [NOW]}, now, private={"disk"}).due(now) == {
        "disk",
        "s3",
    }


def test_of_two_that_all_can_see_each_goes_by_what_it_holds() -> None:
    table = ScheduleState.begin(
        {"s3": EACH_HOUR, "gcs": EACH_HOUR}, {"s3": [NOW], "gcs": [NOW]}, NOW
    )
    slot = NOW + HOUR
    now = slot + timedelta(minutes=5)

    left = table.stood_by({"s3", "gcs"}, slot).after_others({"s3": [slot], "gcs": [NOW]}, now)

    assert left.due(now) == {"gcs"}


def test_what_this_agent_owes_no_other_has_done() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [], "s3": []}, NOW)
    table = table.served({"s3"}, NOW).failed({"disk"}, NOW)
    now = table.next_due

    assert table.after_others({"disk": [], "s3": [NOW]}, now, private={"disk"}).due(now) == {"disk"}
    assert table.after_others({"s3": [NOW]}, now, private={"disk"}).due(now) == {"disk"}


def test_a_storage_whose_failed_upload_arrived_after_all_is_served() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [], "s3": []}, NOW)
    table = table.served({"disk"}, NOW).failed({"s3"}, NOW)
    now = table.next_due

    assert table.after_look({"s3": [NOW]}, now).next_due == NOW + HOUR
    assert table.after_look({"s3": [NOW - HOUR]}, now).due(now) == {"s3"}
    assert table.after_look({}, now).due(now) == {"s3"}, "it is known to have failed"


def test_a_snapshot_of_the_slot_before_does_not_serve_this_one() -> None:
    """A late one was stored just before the next slot, one by hand long before."""
    for early in (timedelta(seconds=1), timedelta(minutes=20)):
        table = ScheduleState.begin({"s3": EACH_HOUR}, {"s3": [NOW - HOUR]}, NOW)
        table = table.served({"s3"}, NOW + HOUR - early)
        slot = table.next_due
        now = slot + timedelta(minutes=6)
        by_hand = slot - timedelta(minutes=10)

        failed = table.failed({"s3"}, slot)
        assert failed.after_look({"s3": [NOW + HOUR - early]}, now).due(now) == {"s3"}
        assert failed.after_look({"s3": [by_hand]}, now).due(now) == {"s3"}
        assert failed.after_look({"s3": [slot]}, now).due(now) == set()


def test_a_name_that_tells_only_the_minute_serves_its_slot() -> None:
    begin = NOW + timedelta(seconds=40)
    table = ScheduleState.begin({"s3": EACH_HOUR}, {"s3": []}, begin).failed({"s3"}, begin)
    now = table.next_due

    assert table.after_look({"s3": [NOW]}, now).due(now) == set()


def test_what_another_agent_stored_meanwhile_is_not_stored_again() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_DAY}, {"disk": [], "s3": []}, NOW)
    later = NOW + timedelta(seconds=3)

    put_off = table.after_others({"disk": [NOW], "s3": []}, later)

    assert put_off.lines["disk"].due == NOW + HOUR
    assert put_off.due(later) == {"s3"}
    assert table.after_others({"disk": [NOW - HOUR], "s3": [NOW - DAY]}, later) == table
    assert table.after_others({}, later) == table


def test_whose_turn_it_is_after_another_agent_takes_its_turn_also_without_catching_up() -> None:
    timings = {"s3": ScheduleSpec(HOURLY, catch_up=False)}
    table = ScheduleState.begin(timings, {"s3": [NOW - HOUR / 2]}, NOW)
    due = NOW + HOUR / 2

    assert table.next_due == due
    assert table.after_others({"s3": [NOW - HOUR / 2]}, due + timedelta(seconds=1)).due(due)


def test_the_jitter_puts_off_without_a_drift() -> None:
    timing = ScheduleSpec(HOURLY, jitter=timedelta(minutes=10))
    table = ScheduleState.begin({"disk": timing}, {"disk": [NOW - HOUR]}, NOW)
    moments = []
    for spread in (0.0, 0.5, 1.0, 0.0):
        table = table.served({"disk"}, table.next_due + timedelta(seconds=5), spread)
        moments.append(table.next_due - NOW)

    minutes = [moment / timedelta(minutes=1) for moment in moments]
    assert minutes == [60, 125, 190, 240]


def test_what_was_missed_is_caught_up_with_unless_told_otherwise() -> None:
    long_ago = NOW - timedelta(hours=5, minutes=20)
    context = ScheduleSpec(HOURLY, catch_up=False)
    nightly = ScheduleSpec(Cron("0 3 * * *"), catch_up=False)

    def due(timing: ScheduleSpec, taken: list[datetime]) -> datetime:
        return ScheduleState.begin({"disk": timing}, {"disk": taken}, NOW).next_due

    assert due(EACH_HOUR, [long_ago]) == NOW
    assert due(context, [long_ago]) == NOW + timedelta(minutes=40)
    assert due(context, []) == NOW + HOUR
    assert due(nightly, [long_ago - DAY]) == datetime(2026, 11, 24, 3, tzinfo=UTC)


def test_a_storage_that_fails_alone_is_tried_again_within_its_slot() -> None:
    table = ScheduleState.begin({"disk": EACH_HOUR, "s3": EACH_DAY}, {"disk": [], "s3": []}, NOW)
    now = NOW + timedelta(seconds=5)

    table = table.served({"disk"}, now).failed({"s3"}, now)

    assert table.lines["disk"].due == NOW + HOUR
    assert table.lines["s3"].due == now + HOUR
    later = now + HOUR
    assert table.served({"s3"}, later).lines["s3"].due == NOW + DAY, "the grid stays"
    assert table.after_others({"disk": [], "s3": [later]}, later).lines["s3"].due > later


def test_where_the_next_slot_is_near_a_failure_waits_for_it() -> None:
    soon = ScheduleSpec(Every(timedelta(minutes=4)))
    table = ScheduleState.begin({"disk": soon}, {"disk": []}, NOW)

    assert table.failed({"disk"}, NOW).next_due == NOW + timedelta(minutes=4)
    hourly = ScheduleState.begin({"disk": EACH_HOUR}, {"disk": []}, NOW)
    assert hourly.failed({"disk"}, NOW).next_due == NOW + timedelta(minutes=6)


def test_a_new_configuration_forgets_nothing_of_a_storage_that_cannot_be_listed() -> None:
    table = ScheduleState.begin({"vault": EACH_DAY}, {}, NOW).served({"vault"}, NOW)
    later = NOW + timedelta(minutes=3)

    again = ScheduleState.begin({"vault": EACH_DAY, "disk": EACH_HOUR}, {"disk": []}, later, table)

    assert again.lines["vault"].due == NOW + DAY
    assert again.due(later) == {"disk"}
    other = ScheduleState.begin({"vault": EACH_HOUR}, {}, later, table)
    assert other.due(later) == {"vault"}


def test_who_takes_over_does_what_the_other_did_not_finish_also_without_catching_up() -> None:
    timings = {
        "disk": ScheduleSpec(HOURLY, catch_up=False),
        "s3": ScheduleSpec(HOURLY, catch_up=False),
    }
    table = ScheduleState.begin(timings, {"disk": [NOW], "s3": [NOW]}, NOW)
    stood_by = table.served({"disk", "s3"}, NOW + HOUR)
    later = NOW + HOUR + timedelta(seconds=20)

    assert stood_by.next_due == NOW + 2 * HOUR
    assert stood_by.resumed({"disk": [NOW], "s3": [NOW]}, later).due(later) == {"disk", "s3"}
    done = stood_by.resumed({"disk": [NOW + HOUR], "s3": [NOW + HOUR]}, later)
    assert done.next_due == NOW + 2 * HOUR
    assert stood_by.resumed({}, later) == stood_by, "nobody knows"


def test_who_takes_over_serves_the_storage_that_the_other_had_not_reached_yet() -> None:
    table = ScheduleState.begin(
        {"disk": EACH_HOUR, "s3": EACH_HOUR}, {"disk": [NOW], "s3": [NOW]}, NOW
    )
    slot = NOW + HOUR
    now = slot + timedelta(seconds=20)

    taken = table.resumed({"disk": [NOW, slot], "s3": [NOW]}, now)
    now = taken.next_due
    assert now < slot + timedelta(minutes=1)
    assert taken.due(now) == {"s3"}
    assert taken.served(["s3"], now).next_due == slot + HOUR, "from then on together again"
    assert taken.served(["s3"], now).due(slot + HOUR) == {"disk", "s3"}

    # A moment before the slot there is nothing to make up for.
    before = slot - timedelta(seconds=20)
    assert table.resumed({"disk": [NOW], "s3": [NOW]}, before).next_due == slot

    # One that cannot be listed is looked at again.
    unknown = table.resumed({"disk": [slot]}, now)
    assert unknown.due(now) == set()
    assert unknown.looked_at_again(unknown.next_due) == {"s3"}


def test_who_stood_by_looks_again_within_the_slot_and_then_goes_on() -> None:
    table = ScheduleState.begin({"s3": EACH_HOUR}, {"s3": [NOW]}, NOW)
    now = NOW + HOUR

    looks = []
    while (now := table.next_due) < NOW + 2 * HOUR:
        looks.append(now)
        table = table.stood_by(table.due(now), now)
    assert looks == [NOW + HOUR + number * timedelta(minutes=5) for number in range(12)]
    assert table.next_due == NOW + 2 * HOUR

    looked = ScheduleState.begin({"s3": EACH_HOUR}, {"s3": [NOW]}, NOW).stood_by(["s3"], NOW + HOUR)
    done = looked.after_others({"s3": [NOW + HOUR]}, NOW + HOUR + timedelta(minutes=5))
    assert done.next_due == NOW + 2 * HOUR
    lost = looked.after_others({"s3": [NOW]}, NOW + HOUR + timedelta(minutes=5))
    assert lost.due(NOW + HOUR + timedelta(minutes=5)) == {"s3"}


def test_a_short_interval_is_looked_at_each_second_at_most() -> None:
    often = ScheduleSpec(Every(timedelta(seconds=3)))
    table = ScheduleState.begin({"s3": often}, {"s3": []}, NOW).stood_by(["s3"], NOW)
    assert table.next_due == NOW + timedelta(seconds=1)


JITTER = timedelta(seconds=50)
EACH_MINUTE = ScheduleSpec(Cron("* * * * *"), jitter=JITTER)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("started", "spread", "due"),
    [
        (-SECOND, 0.5, 25 * SECOND),
        (timedelta(0), 0.5, 25 * SECOND),
        (24 * SECOND, 0.5, 25 * SECOND),
        (30 * SECOND, 0.5, 30 * SECOND),
        (30 * SECOND, 1.0, 50 * SECOND),
        (55 * SECOND, 1.0, 55 * SECOND),
    ],
    ids=["before", "at the slot", "within", "drawn too late", "drawn late", "after"],
)
def test_the_first_slot_after_a_start_is_delayed_too(
    started: timedelta, spread: float, due: timedelta
) -> None:
    taken = [NOW - MINUTE + 30 * SECOND]
    table = ScheduleState.begin({"s3": EACH_MINUTE}, {"s3": taken}, NOW + started, spread=spread)
    assert table.next_due == NOW + due


def test_a_start_takes_no_slot_again_that_was_served_early_in_its_delay() -> None:
    taken = {"s3": [NOW + 5 * SECOND]}
    table = ScheduleState.begin({"s3": EACH_MINUTE}, taken, NOW + 20 * SECOND, spread=1.0)
    assert table.next_due == NOW + MINUTE + JITTER


def test_without_a_snapshot_or_after_missed_ones_nothing_is_delayed() -> None:
    every = ScheduleSpec(HOURLY, jitter=HOUR / 2, phase=SECOND)
    for taken in ([], [NOW - DAY]):
        table = ScheduleState.begin({"s3": every}, {"s3": taken}, NOW, spread=1.0)
        assert table.next_due == NOW + SECOND
        table = ScheduleState.begin({"s3": EACH_MINUTE}, {"s3": taken}, NOW, spread=1.0)
        assert table.next_due == NOW


def test_what_is_not_caught_up_is_delayed_in_its_next_slot() -> None:
    timing = ScheduleSpec(Cron("* * * * *"), jitter=JITTER, catch_up=False)
    table = ScheduleState.begin({"s3": timing}, {"s3": [NOW - DAY]}, NOW + SECOND, spread=0.5)
    assert table.next_due == NOW + MINUTE + 25 * SECOND


def test_an_interval_is_delayed_from_the_newest_snapshot() -> None:
    timing = ScheduleSpec(HOURLY, jitter=HOUR / 2)
    for age, due in ((HOUR / 4, HOUR), (HOUR * 5 / 4, HOUR / 4), (HOUR * 7 / 4, timedelta(0))):
        table = ScheduleState.begin({"s3": timing}, {"s3": [NOW - age]}, NOW, spread=0.5)
        assert table.next_due == NOW + max(HOUR * 5 / 4 - age, timedelta(0)), due


def test_a_delay_that_was_drawn_is_kept_by_another_configuration_and_a_takeover() -> None:
    taken = {"s3": [NOW - MINUTE + 30 * SECOND]}
    before = ScheduleState.begin({"s3": EACH_MINUTE}, taken, NOW, spread=0.8)
    assert before.next_due == NOW + 40 * SECOND
    later = NOW + 10 * SECOND
    assert before.resumed(taken, later).next_due == NOW + 40 * SECOND
    after = ScheduleState.begin({"s3": EACH_MINUTE}, taken, later, before, 0.1)
    assert after.next_due == NOW + 40 * SECOND
    other = ScheduleSpec(Cron("* * * * *"), jitter=JITTER / 2)
    after = ScheduleState.begin({"s3": other}, taken, later, before, 0.8)
    assert after.next_due == NOW + 20 * SECOND


def test_the_slot_after_one_that_others_served_or_that_failed_is_delayed() -> None:
    taken = {"s3": [NOW - MINUTE]}
    table = ScheduleState.begin({"s3": EACH_MINUTE}, taken, NOW)
    failed = table.failed({"s3"}, NOW + SECOND, spread=0.5)
    assert failed.next_due == NOW + MINUTE + 25 * SECOND
    seen = table.after_look({"s3": [NOW]}, NOW + SECOND, 0.5)
    assert seen.next_due == NOW + MINUTE + 25 * SECOND
