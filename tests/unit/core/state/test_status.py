"""The one value of how things stand: what a run, a look and a failure make of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot, Stored
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.holding import CheckState, Survey
from raft_snapshot_agent.core.state.report import Delivery, Outcome, Report
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import RUNS_KEPT, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.errors import (
    AgentError,
    LeaseFree,
    LeaseHeld,
    NotLeader,
    Stopped,
    StorageUnavailable,
    Unreachable,
    VerificationError,
)

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOURLY = ScheduleSpec(Every(timedelta(hours=1)))
SNAPSHOT = Snapshot(ArchiveMeta(7, 2, 100), 60, "ab")
CLUSTER = ClusterStatus("prod", (StorageStatus("disk", "local"), StorageStatus("far", "s3")))


def report(*failed: str, error: AgentError | None = None, after: int = 0) -> Report:
    at = NOW + timedelta(hours=after)
    if error is not None:
        return Report("run", at, at, error=error)
    deliveries = tuple(
        Delivery(name, kind, error=StorageUnavailable("no answer") if name in failed else None)
        for name, kind in (("disk", "local"), ("far", "s3"))
    )
    return Report("run", at, at, SNAPSHOT, "http://node", deliveries)


def survey(*ages: timedelta) -> Survey:
    return Survey.of(
        [Stored(f"{n}", NOW - age, 10, n, verified=True) for n, age in enumerate(ages)], NOW
    )


def test_a_run_is_counted_and_remembered() -> None:
    status = CLUSTER.ended(report())
    assert (status.role, status.node, status.last_attempt) == (Role.WORKS, "http://node", NOW)
    assert status.attempts == {"ok": 1}
    assert [(one.outcome, one.snapshot) for one in status.runs] == [(Outcome.OK, SNAPSHOT)]
    assert [one.uploads for one in status.storages] == [{"ok": 1}, {"ok": 1}]


def test_a_storage_fails_since_its_first_failure_until_it_gets_a_snapshot() -> None:
    status = CLUSTER.ended(report("far")).ended(report("far", after=1))
    disk, far = status.storages
    assert disk.failing is None
    assert far.failing is not None
    assert (far.failing.since, far.failing.times) == (NOW, 2)
    assert (status.runs[-1].outcome, status.runs[-1].failed) == (Outcome.PARTIAL, ("far",))
    assert status.ended(report(after=2)).storages[1].failing is None


def test_what_retention_deleted_is_counted_whether_the_snapshot_was_stored_or_not() -> None:
    run, full = report("far"), replace(report("far").deliveries[1], deleted=("a", "b"))
    status = CLUSTER.ended(replace(run, deliveries=(run.deliveries[0], full)))
    status = status.ended(replace(run, deliveries=(run.deliveries[0], replace(full, error=None))))
    assert [one.pruned for one in status.storages] == [0, 4]


def test_a_storage_fails_no_longer_when_another_agent_stored_there() -> None:
    far = CLUSTER.ended(report("far")).storages[1]
    assert far.failing is not None
    for age, verified, fails in ((-60, False, True), (-60, True, False)):
        sent = Stored("a", NOW - timedelta(seconds=age), 10, 1, verified=verified)
        listed = far.with_survey(Survey.of([sent], NOW), HOURLY, NOW)
        assert (listed.failing is not None) is fails


def test_a_storage_fails_no_longer_when_it_has_the_snapshot_after_all() -> None:
    """It arrived though its upload failed, or somebody copied it; retries take others meanwhile."""
    began = report("far")
    ended = replace(began, finished_at=NOW + timedelta(minutes=9))
    far = CLUSTER.ended(ended).ended(report("far", after=0)).storages[1]
    hour = timedelta(hours=1)
    for sent, looked, fails in (
        (NOW, NOW + hour / 2, False),
        (NOW.replace(second=0), NOW + hour / 2, False),
        (NOW, NOW + 2 * hour, True),  # later ones are missing
        (NOW - hour / 4, NOW + hour / 2, True),  # that of the slot, but another one was refused
    ):
        found = Survey.of([Stored("a", sent, 10, 1, verified=True)], looked)
        assert (far.with_survey(found, HOURLY, looked).failing is not None) is fails


def test_without_any_snapshot_the_cluster_fails() -> None:
    status = CLUSTER.ended(report(error=Unreachable("no"))).ended(report(error=Unreachable("no")))
    assert status.failing is not None
    assert (status.failing.text, status.failing.times) == ("no", 2)
    assert status.verification_failures == 0
    assert status.ended(report(error=VerificationError("cut"))).verification_failures == 1
    assert status.ended(report()).failing is None


def test_who_stands_by_has_no_run_and_no_failure() -> None:
    status = CLUSTER.ended(report(error=Unreachable("no"))).ended(report(error=NotLeader("no")))
    assert (status.role, status.failing, len(status.runs)) == (Role.STANDS_BY, None, 1)
    assert status.attempts == {"failed": 1, "skipped": 1}


@pytest.mark.parametrize(
    ("error", "role"),
    [(LeaseFree("given away"), Role.WORKS), (LeaseHeld("b has it"), Role.STANDS_BY)],
)
def test_without_the_lease_a_failure_lasts_until_somebody_has_stored(
    error: AgentError, role: Role
) -> None:
    down = report(error=Unreachable("no"))
    status = CLUSTER.ended(down).ended(report(error=error, after=1))
    assert status.role is role
    status = status.ended(report(error=Unreachable("no"), after=2))
    assert status.failing is not None
    assert (status.failing.since, status.failing.times) == (NOW, 2)
    assert (status.served_by_another().role, status.served_by_another().failing) == (
        Role.STANDS_BY,
        None,
    )


@pytest.mark.parametrize("error", [NotLeader("no"), LeaseHeld("b has it")])
def test_who_stands_by_has_no_failing_folder_of_its_own_host(error: AgentError) -> None:
    """Nothing would be stored there, so nothing would end it; what is shared still counts."""
    fails = CLUSTER.ended(report("disk", "far"))
    given = fails.ended(report(error=LeaseFree("given away")))
    assert all(one.failing for one in given.storages), "nobody has taken over yet"
    for waits in (fails.ended(report(error=error)), fails.served_by_another()):
        assert [one.failing is not None for one in waits.storages] == [False, True]


def test_who_stands_by_and_cannot_find_out_who_leads_does_not_work() -> None:
    waits = CLUSTER.ended(report(error=NotLeader("no")))
    lost = report(error=Unreachable("no"))
    assert waits.ended(lost).role is Role.STANDS_BY
    assert waits.ended(replace(lost, responsible=True)).role is Role.WORKS
    assert CLUSTER.ended(lost).role is Role.WORKS
    assert CLUSTER.ended(report()).ended(lost).role is Role.WORKS


def test_one_that_was_stopped_changes_nothing_else() -> None:
    status = CLUSTER.ended(report()).ended(report(error=Stopped("stopped")))
    assert (status.role, len(status.runs)) == (Role.WORKS, 1)


def test_only_so_many_runs_are_remembered() -> None:
    status = CLUSTER
    for number in range(RUNS_KEPT + 5):
        status = status.ended(report(after=number))
    assert len(status.runs) == RUNS_KEPT
    assert status.runs[-1].started_at == NOW + timedelta(hours=RUNS_KEPT + 4)


def test_a_look_tells_what_is_there() -> None:
    storage = StorageStatus("disk", "local").with_survey(
        survey(timedelta(minutes=5), timedelta(days=3)), HOURLY, NOW
    )
    assert (storage.stored, storage.stored_bytes) == (2, 20)
    assert storage.oldest == NOW - timedelta(days=3)
    assert (storage.last_success, storage.last_index) == (NOW - timedelta(minutes=5), 0)
    assert storage.judge(NOW).state is CheckState.OK
    assert storage.judge(NOW + timedelta(hours=9)).state is CheckState.CRITICAL


@pytest.mark.parametrize(
    ("age", "every", "state"),
    [
        (timedelta(seconds=10), timedelta(hours=1), CheckState.OK),
        (timedelta(minutes=5), timedelta(hours=1), CheckState.WARNING),
        (timedelta(seconds=10), timedelta(seconds=20), CheckState.WARNING),
    ],
)
def test_what_had_no_time_to_get_a_manifest_is_not_in_doubt(
    age: timedelta, every: timedelta, state: CheckState
) -> None:
    listed = Survey.of([Stored("a", NOW - age, 10)], NOW)
    status = StorageStatus("far", "s3").with_survey(listed, ScheduleSpec(Every(every)), NOW)
    assert status.judge(NOW).state is state
    assert status.judge(NOW + every / 2).state is state, "until it is listed again"


def test_a_look_that_fails_keeps_what_was_known() -> None:
    before = StorageStatus("disk", "local").with_survey(survey(timedelta(0)), HOURLY, NOW)
    storage = before.with_survey(Survey(error=StorageUnavailable("no answer")), HOURLY, NOW)
    assert (storage.stored, storage.last_success) == (1, NOW)
    assert storage.judge(NOW).state is CheckState.UNKNOWN
    assert storage.judge(NOW).message == "no answer"
    assert storage.snapshots == before.snapshots
    assert storage.holding is not None
    assert before.holding is not None
    assert storage.holding.deadline == before.holding.deadline

    again = storage.with_survey(survey(timedelta(0), timedelta(hours=1)), HOURLY, NOW)
    assert (again.stored, again.judge(NOW).state) == (2, CheckState.OK)


def test_a_snapshot_that_is_stored_where_nothing_may_be_listed_ends_what_is_unknown() -> None:
    failed = Survey(error=StorageUnavailable("no answer"))
    storage = StorageStatus("far", "s3").with_survey(survey(timedelta(hours=3)), HOURLY, NOW)
    storage = storage.with_survey(failed, HOURLY, NOW)
    assert storage.holding is not None
    sent = Stored("new", NOW, 10, 9, verified=True)
    storage = storage.with_survey(storage.holding.survey.after(sent, NOW), HOURLY, NOW)
    assert storage.judge(NOW).state is CheckState.OK
    assert storage.last_success == NOW


def test_what_was_read_back_is_known_until_it_is_looked_up_again() -> None:
    note = ScrubNote({"a": LastReading(NOW, "broken")})
    looked = StorageStatus("disk", "local").with_survey(survey(timedelta(0)), HOURLY, NOW)
    storage = looked.scrubbed(note)
    assert storage.with_survey(survey(timedelta(0)), HOURLY, NOW).has_rot
    fresh = replace(survey(timedelta(0)), scrubbed=ScrubNote())
    assert not storage.with_survey(fresh, HOURLY, NOW).has_rot


def test_what_is_sent_counts_where_nothing_is_listed_anew() -> None:
    sent = Stored("new", NOW, 10, verified=True)
    assert Survey(error=StorageUnavailable("no")).after(sent, NOW).count == 1
    after = survey(timedelta(hours=1), timedelta(hours=2)).after(sent, NOW)
    assert after.census is not None
    assert (after.count, after.size, after.census.newest) == (3, 30, sent)


def test_a_cluster_is_as_well_as_its_worst_storage() -> None:
    fine = replace(
        CLUSTER,
        storages=tuple(
            one.with_survey(survey(timedelta(0)), HOURLY, NOW) for one in CLUSTER.storages
        ),
    )
    assert fine.state(NOW) is CheckState.OK
    assert fine.state(NOW + timedelta(days=1)) is CheckState.CRITICAL
    assert CLUSTER.state(NOW) is CheckState.UNKNOWN
    assert ClusterStatus("off", disabled="no address").state(NOW) is CheckState.CRITICAL


def test_what_is_dated_in_the_future_since_the_clock_was_set_back_proves_nothing() -> None:
    found = survey(timedelta(0), 3 * timedelta(hours=1))
    status = replace(
        CLUSTER, storages=tuple(one.with_survey(found, HOURLY, NOW) for one in CLUSTER.storages)
    )
    assert status.as_of(NOW) is status
    assert status.as_of(NOW - timedelta(minutes=4)) is status

    hour_back = status.as_of(NOW - timedelta(hours=1)).storages[0]
    assert (hour_back.last_success, hour_back.last_index) == (NOW - timedelta(hours=3), 1)
    assert hour_back.holding is not None
    assert hour_back.holding.deadline is not None
    assert hour_back.holding.deadline.due == NOW - timedelta(hours=2)
    assert hour_back.judge(NOW - timedelta(hours=1)).message == "2h old, at most 1h30m"

    days_back = status.as_of(NOW - timedelta(days=2))
    verdict = days_back.judge(NOW - timedelta(days=2))[0]
    assert verdict.state is CheckState.CRITICAL
    assert verdict.message == "no snapshot but those dated in the future"
    assert days_back.storages[0].last_success is None
    assert days_back.as_of(NOW - timedelta(days=2)) is days_back


def test_a_drill_of_the_future_is_no_last_drill() -> None:
    status = replace(CLUSTER, drill=DrillStatus("a.snap", True, NOW))
    assert status.as_of(NOW) is status
    assert status.as_of(NOW - timedelta(hours=1)).drill is None
