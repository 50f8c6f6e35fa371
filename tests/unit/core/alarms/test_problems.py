"""What is wrong, by every kind of status."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raft_snapshot_agent.core.alarms.problems import (
    ProblemKind,
    Severity,
    list_problems,
    severity_of,
)
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.drill_status import DrillSchedule, DrillStatus
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus
from raft_snapshot_agent.errors import StorageUnavailable

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOURLY = ScheduleSpec(Every(timedelta(hours=1)))
FAILURE = OngoingFailure("no answer", NOW)


def surveyed(survey: Survey, **how: Any) -> StorageStatus:
    return replace(StorageStatus("far", "s3").with_survey(survey, HOURLY, NOW), **how)


FRESH = Survey.of([Stored("a", NOW, 10, 1, verified=True)], NOW)
OLD = Survey.of([Stored("a", NOW - timedelta(days=2), 10, 1, verified=True)], NOW)
UNPROVED = Survey.of([Stored("a", NOW - timedelta(minutes=6), 10, 1)], NOW)
DOWN = Survey(error=StorageUnavailable("no answer"))

CASES: dict[str, tuple[dict[str, Any], StorageStatus, ProblemKind, Severity]] = {
    "disabled": ({"disabled": "bad"}, surveyed(FRESH), ProblemKind.DISABLED, Severity.FAILING),
    "failing": (
        {"failing": FAILURE},
        surveyed(FRESH),
        ProblemKind.SNAPSHOT_FAILED,
        Severity.FAILING,
    ),
    "stuck": ({"stuck": True}, surveyed(FRESH), ProblemKind.STUCK, Severity.FAILING),
    "lease": (
        {"lease": LeaseStatus("s3", trouble="no")},
        surveyed(FRESH),
        ProblemKind.LEASE_UNUSABLE,
        Severity.FAILING,
    ),
    "login": (
        {"login_failing": "no"},
        surveyed(FRESH),
        ProblemKind.LOGIN_FAILING,
        Severity.ATTENTION,
    ),
    "drill": (
        {"drill": DrillStatus("a", False, NOW, reason="no")},
        surveyed(FRESH),
        ProblemKind.DRILL_FAILED,
        Severity.FAILING,
    ),
    "drill that cannot be run": (
        {"drills": DrillSchedule(NOW, NOW + timedelta(days=1), FAILURE)},
        surveyed(FRESH),
        ProblemKind.DRILL_OVERDUE,
        Severity.ATTENTION,
    ),
    "drill that is overdue": (
        {"drills": DrillSchedule(NOW, NOW - timedelta(seconds=1))},
        surveyed(FRESH),
        ProblemKind.DRILL_OVERDUE,
        Severity.ATTENTION,
    ),
    "stale": ({}, surveyed(OLD), ProblemKind.STALE, Severity.FAILING),
    "stale, optional": (
        {},
        replace(StorageStatus("far", "s3", required=False), holding=None).with_survey(
            OLD, HOURLY, NOW
        ),
        ProblemKind.STALE,
        Severity.ATTENTION,
    ),
    "first": (
        {},
        surveyed(Survey.of([], NOW), configured_at=NOW),
        ProblemKind.NO_SNAPSHOT_YET,
        Severity.ATTENTION,
    ),
    "unlisted": ({}, surveyed(DOWN), ProblemKind.UNLISTED, Severity.ATTENTION),
    "unproved": ({}, surveyed(UNPROVED), ProblemKind.DOUBT, Severity.ATTENTION),
    "alarm": (
        {},
        surveyed(FRESH.noted("wiped", 1)),
        ProblemKind.RETENTION_SUSPENDED,
        Severity.ATTENTION,
    ),
    "scrub": (
        {},
        surveyed(replace(FRESH, scrubbed=ScrubNote({"a": LastReading(NOW, "broken")}))),
        ProblemKind.SCRUB_FAILED,
        Severity.ATTENTION,
    ),
    "storage": ({}, surveyed(FRESH, failing=FAILURE), ProblemKind.STORAGE_FAILED, Severity.FAILING),
}


@pytest.mark.parametrize("case", CASES)
def test_each_is_told_once_with_what_to_do(case: str) -> None:
    facts, storage, kind, severity = CASES[case]
    cluster = replace(ClusterStatus("prod", (storage,)), **facts)
    (problem,) = problems = list_problems(AgentStatus("1", NOW, NOW, (cluster,)))
    assert (problem.kind, problem.severity) == (kind, severity)
    assert problem.subject in {"prod", "prod/far"}
    assert problem.advice
    assert "\n" not in problem.text + problem.advice
    assert severity_of(problems) is severity


def test_the_command_to_paste_names_the_cluster_where_there_are_several() -> None:
    told = [
        list_problems(AgentStatus("1", NOW, NOW, (ClusterStatus(name, (surveyed(OLD),)),)))[
            0
        ].advice
        for name in ("", "prod")
    ]
    assert told == [
        "inspect it: raft-snapshot-agent list --storage far",
        "inspect it: raft-snapshot-agent list --storage far --cluster prod",
    ]


def test_a_command_to_paste_is_quoted_for_a_shell() -> None:
    odd = replace(surveyed(OLD), name="disk of $(ü)")
    (problem,) = list_problems(AgentStatus("1", NOW, NOW, (ClusterStatus("a b", (odd,)),)))
    assert shlex.split(problem.advice.partition(": ")[2]) == [
        *("raft-snapshot-agent", "list", "--storage", "disk of $(ü)", "--cluster", "a b")
    ]


@pytest.mark.parametrize(("failing", "until"), [(None, True), (FAILURE, False)])
def test_a_token_is_told_of_only_while_snapshots_are_taken_with_it(
    failing: OngoingFailure | None, until: bool
) -> None:
    cluster = ClusterStatus("", (surveyed(FRESH),), login_failing="no", failing=failing)
    problems = list_problems(AgentStatus("1", NOW, NOW, (cluster,)))
    (login,) = (one for one in problems if one.kind is ProblemKind.LOGIN_FAILING)
    assert ("before its token ends" in login.advice) is until


def test_every_kind_has_a_case() -> None:
    told = {kind for _, _, kind, _ in CASES.values()} | {ProblemKind.CONFIG_REFUSED}
    assert told == set(ProblemKind)


def test_the_worst_comes_first_and_nothing_is_wrong_with_what_is_fine() -> None:
    fine = AgentStatus("1", NOW, NOW, (ClusterStatus("", (surveyed(FRESH),)),))
    assert list_problems(fine) == ()
    assert str(severity_of(())) == "All is well"
    bad = replace(fine, config_refused="no", clusters=(ClusterStatus("", (surveyed(OLD),)),))
    assert [one.kind for one in list_problems(bad)] == [
        ProblemKind.STALE,
        ProblemKind.CONFIG_REFUSED,
    ]


def test_a_storage_without_a_snapshot_fails_only_after_its_first_slot() -> None:
    empty = surveyed(Survey.of([], NOW), configured_at=NOW - timedelta(minutes=50))
    new, late = (replace(empty, interval=timedelta(minutes=number)) for number in (60, 45))
    (problem,) = list_problems(AgentStatus("1", NOW, NOW, (ClusterStatus("", (new,)),)))
    assert (problem.severity, problem.text) == (Severity.ATTENTION, "no snapshot yet")
    (problem,) = list_problems(AgentStatus("1", NOW, NOW, (ClusterStatus("", (late,)),)))
    assert (problem.severity, problem.text) == (Severity.FAILING, "no snapshot")


@pytest.mark.parametrize("survey", [OLD, Survey.of([], NOW)], ids=["old", "empty"])
def test_a_folder_of_its_own_host_gets_nothing_while_an_agent_stands_by(survey: Survey) -> None:
    here = StorageStatus("disk", "local").with_survey(survey, HOURLY, NOW)
    waits = ClusterStatus("", (here, surveyed(OLD)), role=Role.STANDS_BY)
    (problem,) = list_problems(AgentStatus("1", NOW, NOW, (waits,)))
    assert problem.storage == "far"
    works = replace(waits, role=Role.WORKS)
    assert len(list_problems(AgentStatus("1", NOW, NOW, (works,)))) == 2


def test_what_was_not_looked_at_yet_is_no_problem() -> None:
    assert (
        list_problems(AgentStatus("1", NOW, NOW, (ClusterStatus("", (StorageStatus("a", "s3"),)),)))
        == ()
    )
