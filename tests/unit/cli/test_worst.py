from __future__ import annotations

import pytest

from raft_snapshot_agent.cli.exit_code import worst


@pytest.mark.parametrize(
    ("codes", "asked", "expected"),
    [
        ([], 2, 0),
        ([2], 2, 3),
        ([2, 2], 2, 2),
        ([4], 2, 4),
        ([6], 2, 6),
        ([6, 6], 2, 6),
        ([2, 6], 2, 3),
        ([4, 6], 2, 4),
    ],
)
def test_an_alarm_is_told_where_nothing_else_failed(
    codes: list[int], asked: int, expected: int
) -> None:
    assert worst(codes, asked) == expected
