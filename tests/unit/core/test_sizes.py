from __future__ import annotations

import pytest

from raft_snapshot_agent.core.sizes import format_size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (25_113, "24.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (3000 << 40, "3000.0 TiB"),
    ],
)
def test_a_size_is_written_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert format_size(count) == shown
