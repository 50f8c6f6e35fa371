"""Secrets of a snapshot in a file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from raft_snapshot_agent.cli.recover_file import write_down
from raft_snapshot_agent.errors import ConfigError

_LONGEST = 255
"""Most bytes of a name in the usual file systems."""


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    file = tmp_path / ("x" * _LONGEST)

    write_down(file, [])

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("name", ["x" * (_LONGEST + 1), "gone/out.json", "text/out.json"])
def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(
    tmp_path: Path, name: str
) -> None:
    """The folder may have vanished since it was looked at."""
    (tmp_path / "text").touch()

    with pytest.raises(ConfigError, match=r"cannot write .*: "):
        write_down(tmp_path / name, [])

    assert [*tmp_path.iterdir()] == [tmp_path / "text"]
