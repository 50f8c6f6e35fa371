"""What somebody should hear of: every kind of status, and what it comes to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.core.statuses import HOUR, NOW, agent, cluster, held, minutes, run, storage

from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent
from raft_snapshot_agent.core.alarms.alerts import EVENTS, find_alerts, is_over
from raft_snapshot_agent.core.alarms.problems import ProblemKind, Severity, list_problems
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, DrillStatus
from raft_snapshot_agent.core.state.freshness import Census, census
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import Activity, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus

BROKEN = Census(Stored("b.snap", NOW, 1), 1, broken=(Stored("a.snap", NOW - HOUR, 1),))
BROKEN_FREE = Census(Stored("b.snap", NOW, 1, verified=True), 1)
DRILL = DrillStatus("a.snap", passed=False, at=NOW, reason="the canary is another")


def events(*clusters: ClusterStatus, **more: Any) -> list[tuple[AlertEvent, str, str]]:
    return [one.key for one in find_alerts(agent(*clusters, **more))]


WRONG = {
    AlertEvent.FAILED: cluster(storage(), failing="no leader"),
    AlertEvent.PARTIAL: cluster(storage(failing="refused")),
    AlertEvent.STALE: cluster(storage(holding=held(age=5 * HOUR))),
    AlertEvent.GUARD_ALARM: cluster(
        storage(
            alarm="the ID is another",
            holding=held(survey=Survey(BROKEN_FREE, 1, alarm="the ID is another")),
        )
    ),
    AlertEvent.DRILL_FAILED: cluster(storage(), drill=DRILL),
    AlertEvent.SCRUB_FAILED: cluster(storage(holding=held(survey=Survey(BROKEN, 2)))),
    AlertEvent.LEASE_UNUSABLE: cluster(
        storage(), lease=LeaseStatus("s3://x", trouble="it takes no conditional writes")
    ),
    AlertEvent.LOGIN_FAILING: cluster(storage(), login_failing="the next login is refused"),
}


def test_every_condition_is_tried_here() -> None:
    assert set(WRONG) == set(CONDITIONS)


def test_a_cluster_that_is_well_is_not_told_of() -> None:
    well = cluster(storage(holding=held()), runs=(run(),), lease=LeaseStatus("x", held=True))
    assert events(well) == []


@pytest.mark.parametrize("event", CONDITIONS)
def test_each_condition_is_found_alone(event: AlertEvent) -> None:
    found = find_alerts(agent(WRONG[event]))
    assert [one.event for one in found] == [event]
    assert found[0].text


def test_a_text_names_the_cause() -> None:
    texts = {one.event: one.text for wrong in WRONG.values() for one in find_alerts(agent(wrong))}
    assert "no leader" in texts[AlertEvent.FAILED]
    assert "refused" in texts[AlertEvent.PARTIAL]
    assert "5h old" in texts[AlertEvent.STALE]
    assert "prune --acknowledge" in texts[AlertEvent.GUARD_ALARM]
    assert "canary" in texts[AlertEvent.DRILL_FAILED]
    assert "a.snap" in texts[AlertEvent.SCRUB_FAILED]
    assert "login" in texts[AlertEvent.LOGIN_FAILING]
    assert "conditional" in texts[AlertEvent.LEASE_UNUSABLE]


def test_all_storages_failing_is_a_failure_of_the_whole() -> None:
    broken = cluster(
        storage("a", failing="x"),
        storage("b", failing="y"),
        runs=(run(Outcome.FAILED, error="a: x; b: y", failed="ab"),),
    )
    found = find_alerts(agent(broken))
    assert [(one.event, one.muted) for one in found] == [
        (AlertEvent.PARTIAL, True),
        (AlertEvent.PARTIAL, True),
        (AlertEvent.FAILED, False),
    ]
    assert "a: x; b: y" in found[2].text


def test_the_whole_does_not_fail_once_one_storage_has_the_snapshot() -> None:
    """Whether it got it before a retry, or shows it after all."""
    lone = cluster(
        storage("a", schedule="every 1h"),
        storage("b", failing="y", schedule="every 1h"),
        storage("archive", schedule="every 1d"),
        runs=(run(Outcome.FAILED, error="b: y", failed="b"),),
    )
    partial = [(AlertEvent.PARTIAL, "", "b")]
    assert events(lone) == partial
    apart = (replace(lone.storages[0], schedule="every 2h"), *lone.storages[1:])
    assert events(replace(lone, storages=apart)) == [*partial, (AlertEvent.FAILED, "", "")]


def test_a_storage_that_may_fail_is_stale_at_most_and_only_a_warning() -> None:
    optional = storage(failing="x", required=False, holding=held(age=5 * HOUR, required=False))
    (found,) = find_alerts(agent(cluster(optional)))
    assert (found.event, found.critical) == (AlertEvent.STALE, False)


def test_who_stands_by_has_no_failed_storages_of_its_own() -> None:
    wrong = WRONG[AlertEvent.PARTIAL]
    waiting = replace(wrong, role=Role.STANDS_BY, runs=(run(Outcome.FAILED),))
    assert events(waiting) == []
    assert is_over(agent(waiting), (AlertEvent.PARTIAL, "", "s3"))


def test_who_stands_by_and_cannot_ask_its_node_is_told_of_if_no_other_stores_either() -> None:
    key = (AlertEvent.FAILED, "", "")
    waiting = cluster(storage(), failing="no answer", role=Role.STANDS_BY)
    (problem,) = list_problems(agent(waiting))
    assert problem.severity is Severity.ATTENTION
    assert "another may" in problem.text
    assert events(waiting) == []
    later = {"at": NOW + minutes(1)}
    assert events(waiting, **later) == [key]
    other = replace(waiting, lease=LeaseStatus("s3://x", "another"))
    assert events(other, **later) == [], "who holds the lease tells it"
    assert not is_over(agent(other, **later), key), "what was told before is not over"


def test_a_failure_has_to_last_where_another_agent_may_work() -> None:
    alone = cluster(storage(), failing="no answer")
    patiences = [
        find_alerts(agent(one))[0].patience for one in (alone, replace(alone, shared=True))
    ]
    assert patiences == [timedelta(0), timedelta(minutes=1)]


def test_who_stands_by_sees_that_nobody_works_but_not_in_folders_of_its_own_host() -> None:
    stale = held(age=5 * HOUR)
    waiting = cluster(
        storage(holding=stale), storage("disk", "local", holding=stale), role=Role.STANDS_BY
    )
    assert events(waiting) == [(AlertEvent.STALE, "", "s3")]


def test_an_empty_storage_is_stale_only_after_its_first_slot() -> None:
    began = NOW - 10 * HOUR
    empty = cluster(storage(holding=held(age=None), interval=20 * HOUR, configured_at=began))
    assert events(empty) == []
    assert events(empty, at=NOW + 10 * HOUR) == [(AlertEvent.STALE, "", "s3")]


def test_a_storage_that_cannot_be_listed_is_not_called_stale() -> None:
    unknown = cluster(storage(holding=held(survey=Survey())))
    assert events(unknown) == []


def test_an_alarm_of_another_agent_counts_too() -> None:
    noted = cluster(storage(holding=held(survey=Survey(BROKEN_FREE, 1, alarm="the ID is another"))))
    assert events(noted) == [(AlertEvent.GUARD_ALARM, "", "s3")]


def test_what_was_rotten_when_it_was_read_back_is_told() -> None:
    note = ScrubNote(vanished=("gone.snap",), looked_at=NOW)
    rotten = cluster(storage(holding=held(survey=Survey(BROKEN_FREE, 1, scrubbed=note))))
    (found,) = find_alerts(agent(rotten))
    assert found.event is AlertEvent.SCRUB_FAILED
    assert "gone.snap" in found.text


def test_a_snapshot_that_was_exchanged_is_told() -> None:
    exchanged = Stored("c.snap", NOW, 1, verified=True, mismatched=True)
    listed = Survey(census((exchanged, Stored("b.snap", NOW - HOUR, 1)), NOW), 2)
    (found,) = find_alerts(agent(cluster(storage(holding=held(survey=listed)))))
    assert found.event is AlertEvent.SCRUB_FAILED
    assert "not what its manifest describes: c.snap" in found.text


def test_what_the_listing_and_the_scrub_found_is_told_once() -> None:
    exchanged = Stored("c.snap", NOW, 1, verified=True, mismatched=True)
    readings = {name: LastReading(NOW, "mismatch") for name in ("c.snap", "a.snap")}
    seen = census((exchanged, Stored("b.snap", NOW - HOUR, 1)), NOW)
    listed = Survey(seen, 2, scrubbed=ScrubNote(readings, looked_at=NOW))
    (found,) = find_alerts(agent(cluster(storage(holding=held(survey=listed)))))
    told, _, _ = found.text.rpartition("; ")
    assert (
        told == "not what its manifest describes: c.snap; a.snap is not what its manifest describes"
    )


def test_a_cluster_that_is_disabled_or_stuck_fails() -> None:
    begun = Activity("r", NOW - HOUR)
    both = cluster(stuck=True, activity=begun, failing="x")
    for wrong in (cluster(disabled="no auth"), cluster(stuck=True, activity=begun), both):
        assert events(wrong) == [(AlertEvent.FAILED, "", "")]


def test_trouble_with_a_lease_has_to_last() -> None:
    (found,) = find_alerts(agent(WRONG[AlertEvent.LEASE_UNUSABLE]))
    assert found.patience == timedelta(minutes=1)


@pytest.mark.parametrize("event", [AlertEvent.FAILED, AlertEvent.PARTIAL])
def test_what_the_storages_show_ends_a_failure_without_a_run(event: AlertEvent) -> None:
    """A cluster that was disabled, or an agent that was started again, has no run for hours."""
    key = (event, "", "" if event is AlertEvent.FAILED else "s3")

    def ends(age: timedelta | None, **more: Any) -> bool:
        shown = storage(holding=held(age=age), uploads={})
        return is_over(agent(cluster(shown, last_attempt=None, **more)), key)

    assert ends(minutes(59))
    assert not ends(2 * HOUR)
    assert not ends(None)
    if event is AlertEvent.FAILED:
        assert not ends(minutes(1), failing="no leader")


def test_subjects_name_cluster_and_storage() -> None:
    both = cluster(storage(failing="x"), name="prod", failing="y")
    assert [one.subject for one in find_alerts(agent(both))] == ["prod", "prod/s3"]


@pytest.mark.parametrize("event", CONDITIONS)
def test_after_a_start_nothing_is_over_that_is_not_known_yet(event: AlertEvent) -> None:
    fresh = ClusterStatus("", (StorageStatus("s3", "s3"),), lease=LeaseStatus("x"))
    assert not is_over(agent(fresh), (event, "", "s3"))


@pytest.mark.parametrize("event", CONDITIONS)
def test_while_a_cluster_is_disabled_nothing_of_it_is_over(event: AlertEvent) -> None:
    disabled = ClusterStatus("", disabled="a secret is missing")
    assert not is_over(agent(disabled), (event, "", "s3"))


@pytest.mark.parametrize("event", CONDITIONS)
def test_what_is_known_to_be_well_is_over(event: AlertEvent) -> None:
    listed = held()
    well = cluster(
        storage(holding=replace(listed, survey=listed.survey.noted("", 0))),
        lease=LeaseStatus("x", held=True),
        drill=replace(DRILL, passed=True),
    )
    assert is_over(agent(well), (event, "", "s3"))


def test_an_alarm_whose_note_cannot_be_read_is_not_over() -> None:
    listed = cluster(storage(holding=held()))
    assert not is_over(agent(listed), (AlertEvent.GUARD_ALARM, "", "s3"))


@pytest.mark.parametrize("event", CONDITIONS)
def test_what_is_no_longer_configured_is_over(event: AlertEvent) -> None:
    assert is_over(agent(cluster(name="other")), (event, "gone", "s3"))


def test_a_storage_that_is_gone_is_over() -> None:
    assert is_over(agent(cluster(storage("b"))), (AlertEvent.PARTIAL, "", "a"))


UNTOLD = {
    ProblemKind.CONFIG_REFUSED: "the old one works on",
    ProblemKind.NO_SNAPSHOT_YET: "it is not late yet",
    ProblemKind.UNLISTED: "what comes of it is told as stale, or as a failed delivery",
    ProblemKind.DOUBT: "it can wait; what is known to be broken is told",
    ProblemKind.SCRUB_FAILED: "told of the storage itself, whatever else is wrong there",
    ProblemKind.RETENTION_SUSPENDED: "told of the storage itself, whatever else is wrong there",
}


def test_every_kind_of_problem_is_told_or_left_out_on_purpose() -> None:
    assert set(EVENTS) | set(UNTOLD) == set(ProblemKind)
    assert set(EVENTS) & set(UNTOLD) == set()


@pytest.mark.parametrize("event", CONDITIONS)
def test_what_is_told_is_a_problem_on_the_page_too(event: AlertEvent) -> None:
    status = agent(WRONG[event])
    (alert,), (problem,) = find_alerts(status), list_problems(status)
    assert (alert.cluster, alert.storage) == (problem.cluster, problem.storage)
    assert alert.critical is (problem.severity is Severity.FAILING)


def test_nothing_is_told_twice_of_what_was_not_asked_for() -> None:
    assert events(cluster(storage(failing="x", holding=held(age=minutes(5))))) == [
        (AlertEvent.PARTIAL, "", "s3")
    ]


def test_a_drill_that_cannot_be_run_is_told_until_one_is_run() -> None:
    key = (AlertEvent.DRILL_FAILED, "", "")
    passed = replace(DRILL, passed=True, at=NOW - 48 * HOUR)
    failing = DrillSchedule(NOW, NOW + HOUR, OngoingFailure("no server", NOW))
    (found,) = find_alerts(agent(cluster(storage(), drill=passed, drills=failing)))
    assert (found.key, found.critical) == (key, False)
    assert "no server" in found.text

    for drills, over in (
        (DrillSchedule(), False),  # the agent was just started
        (DrillSchedule(NOW, NOW + HOUR), False),  # due, and not tried yet
        (DrillSchedule(NOW + HOUR, NOW + 2 * HOUR), True),
        (None, True),  # another agent runs them, or they are not scheduled any more
    ):
        after = agent(cluster(storage(), drill=passed, drills=drills))
        assert is_over(after, key) is over
