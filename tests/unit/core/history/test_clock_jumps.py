from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.core.history.test_guard import BEFORE, moved

from raft_snapshot_agent.core.history.clock_jumps import count_deletes, explain_jump
from raft_snapshot_agent.core.history.guard import Point
from raft_snapshot_agent.core.schedules.schedule import Cron, Every, Schedule
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AFTER = replace(moved(BEFORE, 3600), snapshot="new.snap")
"""An hour later by every clock."""


def dated(manifest: Manifest, ahead: timedelta) -> Manifest:
    """The same, with the wall clock so far ahead."""
    taken_at = datetime.fromisoformat(manifest.taken_at) + ahead
    return replace(manifest, taken_at=f"{taken_at:%Y-%m-%dT%H:%M:%SZ}")


def explained(now: Manifest, *others: Manifest) -> str:
    return explain_jump([Point.of(one) for one in others or (BEFORE,)], Point.of(now))


@pytest.mark.parametrize(
    ("ahead", "told"), [(DAY + HOUR, "1d1h"), (10 * DAY, "10d"), (3650 * DAY, "3650d")]
)
def test_a_clock_that_jumped_ahead_is_told_with_what_counts_by_it(
    ahead: timedelta, told: str
) -> None:
    said = f"jumped ahead by {told} since {BEFORE.snapshot}, and retention counts by it"
    assert said in explained(dated(AFTER, ahead))


@pytest.mark.parametrize(
    "now",
    [
        AFTER,
        dated(AFTER, DAY),
        dated(AFTER, -10 * DAY),
        replace(moved(BEFORE, 864_000), snapshot="after an outage, or suspended.snap"),
        replace(dated(AFTER, 10 * DAY), clock="another host or boot", began=7.0),
        replace(dated(AFTER, 10 * DAY), clock="", began=0.0),
        replace(AFTER, began=-1e308),
        replace(AFTER, taken_at="when?"),
    ],
)
def test_what_is_no_jump_is_no_alarm(now: Manifest) -> None:
    assert explained(now) == ""


def test_without_an_earlier_snapshot_or_its_clock_nothing_is_known() -> None:
    ahead = dated(AFTER, 10 * DAY)

    assert explain_jump([], Point.of(ahead)) == ""
    assert explained(ahead, replace(BEFORE, clock="")) == ""
    assert explained(replace(ahead, clock=""), replace(BEFORE, clock="")) == ""
    assert explained(ahead, replace(BEFORE, taken_at="when?")) == ""


def test_only_the_newest_counts_as_retention_counts_from_it() -> None:
    """The host started in 2016, and then its clock was set right."""
    of_2016 = dated(BEFORE, -3650 * DAY)
    before_the_start = replace(BEFORE, clock="the boot before", began=1e6)

    assert explained(AFTER, of_2016, before_the_start) == ""
    assert explained(AFTER, of_2016)


def test_a_machine_whose_memory_was_put_back_has_no_older_clock() -> None:
    back = replace(AFTER, began=BEFORE.began - 3 * 86_400)

    assert explained(back) == ""
    assert explained(dated(back, 2 * DAY)) != ""


def taken(*hours_ago: float) -> list[Stored]:
    return [Stored(f"{one}.snap", NOW - one * HOUR, 10) for one in hours_ago]


@pytest.mark.parametrize("pace", [Every(HOUR), Cron("0 * * * *")])
@pytest.mark.parametrize(
    ("hours_ago", "slots"),
    [
        ((), 0),
        ((0,), 0),
        ((0, 1, 2), 1),
        ((0, 3, 6), 3),
        ((0, 240, 241), 2),
        ((0, 240), 1),
        ((0, 1, 241), 1),
        ((-240, 0, 1, 2), 1),
    ],
    ids=[
        "none",
        "the first",
        "each hour",
        "each third hour",
        "a jump or an outage",
        "after the first",
        "the next one",
        "right again",
    ],
)
def test_a_jump_explains_no_deletions(
    pace: Schedule, hours_ago: tuple[float, ...], slots: int
) -> None:
    assert count_deletes(taken(*hours_ago), pace, NOW) == 24 + slots
