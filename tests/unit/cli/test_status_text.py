"""What `status` says in words of a daemon's document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.cli.status import StatusWish, show
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure
from raft_snapshot_agent.observe.status_document import document

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("drill", "line"),
    [
        (
            DrillStatus("a.snap", True, NOW - 2 * HOUR, 9.04),
            "The last drill, 2h ago, of a.snap, passed in 9.0 s",
        ),
        (
            DrillStatus("a.snap", False, NOW - HOUR, 9.0, "canary 1 of 2 is missing"),
            "The last drill, 1h ago, of a.snap, failed: canary 1 of 2 is missing",
        ),
        (None, ""),
    ],
)
def test_the_last_drill_is_told(
    drill: DrillStatus | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(AgentStatus("1", NOW - HOUR, NOW, (ClusterStatus("", drill=drill),)))

    show(found, running=True, wish=StatusWish())

    said = [one for one in capsys.readouterr().out.splitlines() if "last drill" in one]
    assert said == ([line] if line else [])


FREE, OTHER = LeaseStatus("s3://x"), LeaseStatus("s3://x", "b")


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (ClusterStatus(""), "has not run yet"),
        (ClusterStatus("", role=Role.WORKS), "is backed up by this agent"),
        (ClusterStatus("", role=Role.STANDS_BY), "is left to another agent"),
        (
            ClusterStatus("", role=Role.WORKS, failing=OngoingFailure("no", NOW)),
            "is not backed up by this agent, whose last snapshot failed",
        ),
        (
            ClusterStatus("", role=Role.WORKS, lease=LeaseStatus("s3://x", "a", held=True)),
            "is backed up by this agent",
        ),
        (
            ClusterStatus("", role=Role.STANDS_BY, lease=OTHER),
            "is left to another agent (b holds the lease)",
        ),
        (
            ClusterStatus("", role=Role.STANDS_BY, lease=FREE),
            "is backed up by nobody at present: nobody holds the lease",
        ),
        (
            ClusterStatus("", role=Role.WORKS, lease=LeaseStatus("s3://x", trouble="no answer")),
            "is backed up by an unknown agent: the lease cannot be read",
        ),
    ],
)
def test_who_works_is_told(
    cluster: ClusterStatus, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(document(AgentStatus("1", NOW, NOW, (cluster,))), running=True, wish=StatusWish())
    (said,) = [one for one in capsys.readouterr().out.splitlines() if "The cluster " in one]
    assert said.rstrip(";") == f"The cluster {words}"
