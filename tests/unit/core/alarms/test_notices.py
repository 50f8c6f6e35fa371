"""What is told when: once, grouped, again, and when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.statuses import HOUR, NOW, agent, cluster, held, minutes, run, storage

from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent, Wishes
from raft_snapshot_agent.core.alarms.notices import (
    FORGOTTEN_AFTER,
    GROUP_PAUSE,
    MOST_RECORDS,
    Notice,
    NoticeMemory,
    after_delivery,
    due_notices,
    observe,
)
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, DrillStatus
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import Activity, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure

ALL = Wishes(frozenset({*CONDITIONS, AlertEvent.RECOVERED}), 6 * HOUR)
CHECK = Wishes(
    frozenset({AlertEvent.START, AlertEvent.SUCCESS, AlertEvent.FAILED, AlertEvent.PARTIAL}),
    HOUR,
    per_run=True,
)
FAILS = cluster(storage(), failing="no leader")
WELL = cluster(storage())


class Told:
    """A notifier whose receiver takes everything, or nothing while it is down."""

    def __init__(self, wishes: Wishes = ALL) -> None:
        self.wishes = wishes
        self.memory = NoticeMemory()
        self.down = False

    def look(self, *clusters: ClusterStatus, at: datetime = NOW) -> list[Notice]:
        self.memory = observe(self.memory, agent(*clusters, at=at), self.wishes)
        notices = [] if self.down else [*due_notices(self.memory, self.wishes, at)]
        for notice in notices:
            self.memory = after_delivery(self.memory, notice, at)
        return notices


def short(notices: Iterable[Notice]) -> list[tuple[str, int, bool]]:
    return [(one.event.value, len(one.keys), one.is_over) for one in notices]


def test_a_failure_is_told_once_again_after_a_while_and_when_it_is_over() -> None:
    told = Told()
    assert short(told.look(FAILS)) == [("failed", 1, False)]
    assert told.look(FAILS, at=NOW + minutes(10)) == []
    assert told.look(FAILS, at=NOW + 5.9 * HOUR) == []
    again = told.look(FAILS, at=NOW + 6.1 * HOUR)
    assert short(again) == [("failed", 1, False)]
    assert again[0].records[0].told is not None
    assert short(told.look(WELL, at=NOW + 7 * HOUR)) == [("failed", 1, True)]
    assert told.look(WELL, at=NOW + 8 * HOUR) == []
    assert told.memory.records == {}


def test_what_is_no_longer_configured_ends_with_that_reason() -> None:
    gone = "no longer watched, as it is not in the configuration any more; the last state was: "
    told = Told()
    (begin,) = told.look(cluster(storage(), name="dead", failing="no leader"), WELL)
    (end,) = told.look(WELL, at=NOW + HOUR)
    assert end.is_over
    assert end.records[0].alert.text == gone + begin.records[0].alert.text

    told = Told()
    (begin,) = told.look(cluster(storage("disk"), storage("s3", failing="full")))
    (end,) = told.look(cluster(storage("disk")), at=NOW + HOUR)
    assert [one.alert.text for one in end.records] == [
        gone + one.alert.text for one in begin.records
    ]

    told = Told()
    told.look(FAILS)
    (end,) = told.look(WELL, at=NOW + HOUR)
    assert "configuration" not in end.records[0].alert.text


def test_a_flood_is_one_message_per_event() -> None:
    many = [cluster(storage(), name=f"c{number}", failing="x") for number in range(500)]
    told = Told()
    (notice,) = told.look(*many)
    assert len(notice.records) == 500
    assert told.look(*many, at=NOW + minutes(30)) == []
    well = [cluster(storage(), name=f"c{number}") for number in range(500)]
    assert short(told.look(*well, at=NOW + HOUR)) == [("failed", 500, True)]


def test_what_follows_soon_waits_and_comes_together() -> None:
    told = Told()
    told.look(FAILS, cluster(name="b"))
    two = (FAILS, cluster(name="b", failing="x"), cluster(name="c", failing="x"))
    assert told.look(*two, at=NOW + minutes(1)) == []
    assert short(told.look(*two, at=NOW + GROUP_PAUSE)) == [("failed", 2, False)]


def test_what_comes_and_goes_is_no_flood() -> None:
    told, messages = Told(), 0
    for second in range(0, 3600, 10):
        status = FAILS if second // 10 % 2 == 0 else WELL
        messages += len(told.look(status, at=NOW + timedelta(seconds=second)))
    assert messages <= HOUR / GROUP_PAUSE


PASSED = DrillStatus("a.snap", passed=True, at=NOW - 48 * HOUR)
NOT_HELD = cluster(drill=PASSED, drills=DrillSchedule(failing=OngoingFailure("no server", NOW)))
DRILL_FAILED = cluster(drill=DrillStatus("a.snap", passed=False, at=NOW + minutes(9)))


def test_a_warning_that_becomes_critical_is_told_at_once() -> None:
    told = Told()
    assert short(told.look(NOT_HELD)) == [("drill_failed", 1, False)]
    (worse,) = told.look(DRILL_FAILED, at=NOW + minutes(10))
    (record,) = worse.records
    assert (record.alert.critical, record.told) == (True, None)
    assert record.alert.since == NOW + minutes(9), "the failure began with the drill"
    for milder in (DRILL_FAILED, NOT_HELD):
        assert told.look(milder, at=NOW + HOUR) == []
    assert short(told.look(DRILL_FAILED, at=NOW + 2 * HOUR)) == [("drill_failed", 1, False)]


def test_a_warning_that_is_over_and_comes_back_critical_is_told() -> None:
    told = Told()
    told.look(NOT_HELD)
    fine = cluster(drill=PASSED, drills=DrillSchedule(NOW + 9 * HOUR, NOW + 9 * HOUR))
    assert told.look(fine, at=NOW + minutes(1)) == [], "its end waits for the group"
    assert short(told.look(DRILL_FAILED, at=NOW + minutes(6))) == [("drill_failed", 1, False)]


@pytest.mark.parametrize("event", [AlertEvent.STALE, AlertEvent.PARTIAL])
def test_a_storage_that_becomes_required_while_it_lacks_snapshots_is_told(
    event: AlertEvent,
) -> None:
    def lacking(*, required: bool) -> ClusterStatus:
        if event is AlertEvent.PARTIAL:
            return cluster(storage(failing="full", required=required))
        old = held(age=5 * HOUR, required=required)
        return cluster(storage(holding=old, required=required))

    told = Told()
    told.look(lacking(required=False))
    (worse,) = told.look(lacking(required=True), at=NOW + minutes(6))
    assert (worse.event, worse.records[0].alert.critical) == (event, True)


def test_what_begins_again_before_its_end_is_told_is_told_with_its_own_beginning() -> None:
    told = Told()
    told.look(FAILS)
    assert told.look(WELL, at=NOW + minutes(1)) == []
    again = cluster(storage(), failing="no leader", since=NOW + minutes(2))
    told.look(again, at=NOW + minutes(2))
    (record,) = told.memory.records.values()
    assert record.alert.since == NOW + minutes(2)
    lasting = cluster(storage(), failing="no leader", since=NOW + minutes(9))
    told.look(lasting, at=NOW + minutes(9))
    (record,) = told.memory.records.values()
    assert record.alert.since == NOW + minutes(2), "a restart forgets when it began"


def test_what_could_not_be_told_is_told_although_it_is_over() -> None:
    told = Told()
    told.down = True
    told.look(FAILS)
    told.look(WELL, at=NOW + minutes(2))
    told.down = False
    (notice,) = told.look(WELL, at=NOW + minutes(9))
    assert notice.is_over
    assert "no leader" in notice.records[0].alert.text
    assert notice.records[0].ended == NOW + minutes(2)
    assert told.look(WELL, at=NOW + minutes(20)) == []


def test_what_was_never_told_is_forgotten_after_a_day() -> None:
    told = Told()
    told.down = True
    told.look(FAILS)
    told.look(WELL, at=NOW + minutes(2))
    told.look(WELL, at=NOW + minutes(3) + FORGOTTEN_AFTER)
    assert told.memory.records == {}


def test_the_end_is_not_told_to_who_does_not_want_it() -> None:
    told = Told(replace(ALL, on=frozenset({AlertEvent.FAILED})))
    told.look(FAILS)
    assert told.look(WELL, at=NOW + HOUR) == []
    assert told.memory.records == {}


def test_only_what_is_wished_for_is_told_and_of_these_clusters_only() -> None:
    two = (cluster(name="a", failing="x"), cluster(storage(failing="y"), name="b"))
    assert short(Told(replace(ALL, on=frozenset({AlertEvent.PARTIAL}))).look(*two)) == [
        ("partial", 1, False)
    ]
    assert short(Told(replace(ALL, clusters=frozenset({"a"}))).look(*two)) == [("failed", 1, False)]


def test_a_storage_that_fails_with_all_others_is_neither_told_nor_over() -> None:
    told = Told()
    one = cluster(storage("a", failing="x"), storage("b"))
    all_ = cluster(
        storage("a", failing="x"),
        storage("b", failing="y"),
        runs=(run(Outcome.FAILED, failed="ab"),),
    )
    assert short(told.look(one)) == [("partial", 1, False)]
    assert short(told.look(all_, at=NOW + HOUR)) == [("failed", 1, False)]
    assert short(told.look(one, at=NOW + 2 * HOUR)) == [("failed", 1, True)]
    assert short(told.look(WELL, at=NOW + 3 * HOUR)) == [("partial", 1, True)]


def test_what_often_passes_by_itself_has_to_last() -> None:
    told = Told()
    trouble = cluster(lease=LeaseStatus("s3", trouble="no answer"))
    well = cluster(lease=LeaseStatus("s3", held=True))
    assert told.look(trouble) == []
    assert told.look(well, at=NOW + timedelta(seconds=30)) == []
    assert told.memory.records == {}
    assert told.look(trouble, at=NOW + HOUR) == []
    later = NOW + HOUR + minutes(2)
    assert short(told.look(trouble, at=later)) == [("lease_unusable", 1, False)]


def test_what_cannot_be_known_yet_after_a_start_is_not_over() -> None:
    told = Told()
    told.look(FAILS)
    fresh = ClusterStatus("", (storage(uploads={}),))
    assert told.look(fresh, at=NOW + HOUR) == []
    assert short(told.look(WELL, at=NOW + 2 * HOUR)) == [("failed", 1, True)]


def test_a_clock_that_is_put_back_holds_nothing_up() -> None:
    told = Told()
    told.look(FAILS)
    two = (FAILS, cluster(name="b", failing="x"))
    assert short(told.look(*two, at=NOW - 5 * HOUR)) == [("failed", 2, False)]


def test_the_memory_is_bounded() -> None:
    told = Told()
    told.down = True
    many = [cluster(storage(failing="x"), name=f"c{number}") for number in range(MOST_RECORDS + 9)]
    told.look(*many)
    assert len(told.memory.records) == MOST_RECORDS


def test_all_attempts_at_one_message_have_one_id_and_others_another() -> None:
    told = Told()
    told.down = True
    told.look(FAILS)
    ids = {due_notices(told.memory, ALL, NOW + minutes(later))[0].id for later in (0, 1, 2)}
    told.down = False
    told.look(FAILS)
    ids |= {one.id for one in told.look(WELL, at=NOW + HOUR)}
    assert len(ids) == 2


def test_a_check_hears_of_each_run_once_its_beginning_and_its_end() -> None:
    told = Told(CHECK)
    assert told.look(cluster(activity=Activity("", NOW))) == []
    begun = cluster(activity=Activity("r1", NOW))
    assert [one.event for one in told.look(begun)] == [AlertEvent.START]
    assert told.look(begun, at=NOW + minutes(1)) == []
    ended = cluster(runs=(run(),))
    assert [one.event for one in told.look(ended)] == [AlertEvent.SUCCESS]
    assert told.look(ended, at=NOW + minutes(1)) == []
    again = cluster(activity=Activity("r2", NOW), runs=(run(),))
    (start,) = told.look(again)
    assert start.run is not None
    assert start.run.run_id == "r2"
    runs = run(), run(Outcome.FAILED, "r2", "no leader")
    failed = cluster(runs=runs, failing="no leader")
    (notice,) = told.look(failed)
    assert notice.run is not None
    assert (notice.event, notice.run.text) == (AlertEvent.FAILED, "no leader")


def test_the_end_of_a_run_is_told_although_the_next_has_begun() -> None:
    told = Told(CHECK)
    both = told.look(cluster(activity=Activity("r2", NOW), runs=(run(run_id="r1"),)))
    assert [one.event for one in both] == [AlertEvent.SUCCESS, AlertEvent.START]


def test_a_failed_run_that_could_not_be_told_is_told_before_the_next_begins() -> None:
    told = Told(CHECK)
    told.down = True
    told.look(cluster(runs=(run(Outcome.PARTIAL, "r1"),)))
    told.look(cluster(activity=Activity("r2", NOW), runs=(run(Outcome.PARTIAL, "r1"),)))
    told.down = False
    later = told.look(cluster(activity=Activity("r2", NOW), runs=(run(Outcome.PARTIAL, "r1"),)))
    assert [one.event for one in later] == [AlertEvent.PARTIAL, AlertEvent.START]


def test_of_many_runs_that_could_not_be_told_the_last_is() -> None:
    told = Told(CHECK)
    told.down = True
    for number in range(50):
        told.look(cluster(activity=Activity(f"r{number}", NOW)))
        told.look(cluster(runs=(run(Outcome.FAILED, f"r{number}"),)))
    assert len(told.memory.runs) == 1
    assert told.memory.runs[0].run_id == "r49"


def test_a_check_hears_of_no_failure_after_which_another_agent_may_store() -> None:
    failed = cluster(runs=(run(Outcome.FAILED),), failing="no answer")
    for may in (replace(failed, role=Role.STANDS_BY), replace(failed, shared=True)):
        told = Told(CHECK)
        assert told.look(may) == []
        assert told.look(may.served_by_another(), at=NOW + minutes(2)) == [], "another stored"
        later = [told.look(may, at=NOW + minutes(number)) for number in (0.9, 1, 2)]
        assert [[one.event for one in notices] for notices in later] == [
            [],
            [AlertEvent.FAILED],
            [],
        ]


def test_a_check_hears_at_once_that_storages_refuse_a_snapshot() -> None:
    refuses = storage(failing="denied")
    refused = cluster(refuses, runs=(run(Outcome.FAILED, failed=("s3",)),), shared=True)
    assert [one.event for one in Told(CHECK).look(refused)] == [AlertEvent.FAILED]


def test_who_waits_for_the_lease_of_another_tells_a_check_nothing() -> None:
    lease = LeaseStatus("s3://x", "another")
    waits = cluster(runs=(run(Outcome.FAILED),), failing="x", role=Role.STANDS_BY, lease=lease)
    assert Told(CHECK).look(waits, at=NOW + HOUR) == []


def test_success_can_be_told_beside_what_lasts() -> None:
    told = Told(Wishes(frozenset({AlertEvent.SUCCESS, AlertEvent.FAILED}), HOUR))
    assert [one.event for one in told.look(cluster(runs=(run(),)))] == [AlertEvent.SUCCESS]
    failed = cluster(runs=(run(Outcome.FAILED, "r2", "x"),), failing="x")
    assert [(one.event, one.run) for one in told.look(failed)] == [(AlertEvent.FAILED, None)]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 90)), max_size=40))
def test_whoever_is_told_of_a_beginning_is_told_of_its_end(
    steps: list[tuple[bool, bool, int]],
) -> None:
    told, at, open_ = Told(), NOW, False
    for fails, down, wait in [*steps, (False, False, 10), (False, False, 10)]:
        at += minutes(wait)
        told.down = down
        for notice in told.look(FAILS if fails else WELL, at=at):
            assert notice.is_over != fails
            open_ = not notice.is_over
    assert not open_
    assert told.memory.records == {}
