from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.run_durations import BOUNDS, RunDurations
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.errors import AgentError, NotLeader, Stopped

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "first"), [(-5.0, 0), (0.0, 0), (1.0, 0), (1.01, 1), (3600.0, 8), (3600.1, 9)]
)
def test_a_run_counts_from_the_first_bound_that_it_keeps(seconds: float, first: int) -> None:
    counted = RunDurations().after(seconds)

    assert counted.counts == (0,) * first + (1,) * (len(BOUNDS) - first)
    assert (counted.count, counted.seconds) == (1, max(0.0, seconds))


def test_runs_that_this_agent_did_are_counted_and_no_others() -> None:
    status = ClusterStatus("")
    for error in (None, AgentError("down"), NotLeader("another host's"), Stopped("stop")):
        status = status.ended(Report("r", NOW, NOW + timedelta(seconds=7), error=error))

    assert (status.durations.count, status.durations.seconds) == (2, 14.0)


def test_counting_goes_on_where_it_stopped() -> None:
    counted = RunDurations().after(4.0).after(5000.0)

    assert RunDurations.resumed(counted.counts, counted.seconds) == counted
    for counts, seconds in (
        ((), 0.0),
        ((-1,) * len(BOUNDS), 0.0),
        (tuple(range(len(BOUNDS), 0, -1)), 0.0),
        (counted.counts, -1.0),
        (counted.counts, float("nan")),
    ):
        assert RunDurations.resumed(counts, seconds) == RunDurations()
