from __future__ import annotations

from datetime import UTC, datetime

import pytest

from raft_snapshot_agent.core.state.report import Delivery, Outcome, Report
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    Denied,
    Interrupted,
    NoLeader,
    NotLeader,
    Sealed,
    SpoolError,
    StaleSnapshot,
    Stopped,
    StorageDenied,
    StorageFull,
    StorageUnavailable,
    Unreachable,
    VerificationError,
)

AT = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
GOOD = Delivery("disk", "local", "/var/backups/a.snap")
FULL = Delivery("disk", "local", error=StorageFull("no space left"))
GONE = Delivery("s3", "aws", error=StorageUnavailable("no answer"))
REFUSED = Delivery("gcs", "google", error=StorageDenied("no right to create"))
ALARMED = Delivery("s3", "aws", "s3://b/a.snap", alarm="the cluster is another")
GRUMBLING = Delivery("s3", "aws", "s3://b/a.snap", warnings=("a.snap is not deleted",))


def report(*deliveries: Delivery, error: AgentError | None = None) -> Report:
    return Report("0a1b2c", AT, AT, deliveries=deliveries, error=error)


@pytest.mark.parametrize(
    ("deliveries", "outcome", "code"),
    [
        ((GOOD,), Outcome.OK, 0),
        ((GOOD, GOOD), Outcome.OK, 0),
        ((GOOD, GRUMBLING), Outcome.OK, 0),
        ((GOOD, FULL), Outcome.PARTIAL, 3),
        ((FULL, GOOD), Outcome.PARTIAL, 3),
        ((GONE, FULL, GRUMBLING), Outcome.PARTIAL, 3),
        ((FULL,), Outcome.FAILED, 2),
        ((GONE, REFUSED), Outcome.FAILED, 2),
        ((GOOD, ALARMED), Outcome.OK, 6),
        ((ALARMED, FULL), Outcome.PARTIAL, 3),
    ],
)
def test_deliveries_decide_when_there_is_a_snapshot(
    deliveries: tuple[Delivery, ...], outcome: Outcome, code: int
) -> None:
    run = report(*deliveries)
    assert (run.outcome, run.exit_code) == (outcome, code)


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (NotLeader("another leads"), Outcome.SKIPPED, 5),
        (Stopped("told to stop"), Outcome.STOPPED, 0),
        (ConfigError("no such file"), Outcome.FAILED, 1),
        (SpoolError("disk full"), Outcome.FAILED, 1),
        (AgentError("unexpected"), Outcome.FAILED, 1),
        (Unreachable("no answer"), Outcome.FAILED, 2),
        (Sealed("sealed"), Outcome.FAILED, 2),
        (NoLeader("no leader"), Outcome.FAILED, 2),
        (Denied("refused"), Outcome.FAILED, 2),
        (Interrupted("cut off"), Outcome.FAILED, 2),
        (VerificationError("broken"), Outcome.FAILED, 4),
        (StaleSnapshot("stale"), Outcome.FAILED, 4),
    ],
)
def test_the_reason_decides_when_there_is_none(
    error: AgentError, outcome: Outcome, code: int
) -> None:
    run = report(error=error)
    assert (run.outcome, run.exit_code) == (outcome, code)
    assert report(GOOD, error=error).outcome is outcome


def test_outcomes_are_words() -> None:
    assert [str(outcome) for outcome in Outcome] == [
        "ok",
        "partial",
        "failed",
        "skipped",
        "stopped",
    ]
