"""Who tells of the last drill after a start, from the notes in the storages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.metrics.statuses import storage

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OLD = DrillStatus("old.snap", True, NOW - timedelta(days=9))


def noting(name: str, hours: int, *, passed: bool) -> StorageStatus:
    """A storage where a drill is noted that was held so many hours ago."""
    at = (NOW - timedelta(hours=hours)).isoformat()
    note = DrillNote(f"{name}.snap", passed, at, 9.0, reason="" if passed else "no canary")
    found = storage(name)
    assert found.holding is not None
    survey = replace(found.holding.survey, drill=note)
    return replace(found, holding=replace(found.holding, survey=survey))


@pytest.mark.parametrize(
    ("role", "before", "passed", "told"),
    [
        (Role.STARTING, None, True, "s3.snap"),
        (Role.STARTING, None, False, None),
        (Role.WORKS, None, False, "s3.snap"),
        (Role.UNKNOWN, None, False, "s3.snap"),
        (Role.STANDS_BY, None, True, None),
        (Role.STANDS_BY, None, False, None),
        (Role.STANDS_BY, OLD, False, "s3.snap"),
        (Role.STARTING, OLD, False, "s3.snap"),
    ],
)
def test_the_last_of_all_storages_is_told_by_whom_it_concerns(
    role: Role, before: DrillStatus | None, *, passed: bool, told: str | None
) -> None:
    storages = (noting("local", 5, passed=True), noting("s3", 2, passed=passed), storage("other"))
    found = ClusterStatus("", storages, role, drill=before).recalled(NOW).drill

    assert (found and found.snapshot) == told
    assert found is None or found.passed is passed


def test_what_this_agent_held_later_stays() -> None:
    held = DrillStatus("mine.snap", False, NOW)
    found = ClusterStatus("", (noting("s3", 2, passed=True),), Role.WORKS, drill=held).recalled(NOW)

    assert found.drill == held


def test_a_look_without_notes_forgets_no_drill() -> None:
    before = noting("s3", 2, passed=True)
    timing = ScheduleSpec(Every(timedelta(hours=1)))
    after = before.with_survey(Survey(), timing, NOW)

    assert ClusterStatus("", (after,)).recalled(NOW).drill is not None
