"""Spans of time as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from raft_snapshot_agent.core.ages import format_age


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (3601, "1h"),
        (3660, "1h1m"),
        (86399, "23h59m"),
        (390 * 86400 + 1, "390d"),
        (2 * 86400 + 3 * 3600 + 59, "2d3h"),
    ],
)
def test_it_is_told_in_the_largest_unit_and_the_next(seconds: float, text: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == text
