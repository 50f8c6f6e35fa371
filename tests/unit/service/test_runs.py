"""When a snapshot that failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.errors import AgentError, Unreachable
from raft_snapshot_agent.service.runs import Runs

SLOT = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def list_attempts(began: datetime, following: datetime, error: AgentError) -> list[datetime]:
    """List when a run that fails at once is tried before the next slot."""
    unused: Any = None
    clock = Clock(began)
    runs = Runs(unused, unused, unused, unused, unused, clock)
    attempts: list[datetime] = []
    wait: timedelta | None = timedelta(0)
    while wait is not None:
        clock.now += wait
        attempts.append(clock.now)
        report = Report("r", clock.now, clock.now, error=error)
        wait = runs._choose_pause(report, len(attempts), began, following)
    return attempts


@pytest.mark.parametrize("seconds", [1, 15, 3600])
@pytest.mark.parametrize("late", [0.0, 0.9])
def test_retries_do_not_come_faster_at_the_end_of_an_interval(seconds: int, late: float) -> None:
    following = SLOT + timedelta(seconds=seconds)
    began = SLOT + timedelta(seconds=seconds * late)
    for _ in range(20):
        attempts = list_attempts(began, following, Unreachable("no"))
        pauses = [after - before for before, after in pairwise(attempts)]
        assert len(attempts) <= 8 + seconds / 150
        assert attempts[-1] < following
        assert min(pauses, default=following - began) >= min(
            (following - began) / 2, timedelta(seconds=2.5)
        )


def test_an_error_may_ask_for_a_longer_pause() -> None:
    error = Unreachable("no")
    error.pause = 7.0
    attempts = list_attempts(SLOT, SLOT + timedelta(seconds=15), error)
    assert attempts[1] - attempts[0] >= timedelta(seconds=7)
