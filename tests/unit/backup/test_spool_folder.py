"""The spool's folder, which programs that tidy up may remove while an agent runs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from raft_snapshot_agent.backup.spool_folder import SpoolFolder

pytestmark = pytest.mark.anyio


async def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    await folder.sweep()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.free


async def test_its_parents_may_be_on_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "disk" / "spool")
    await folder.sweep()
    assert folder.free is None
    assert not folder.path.parent.exists()
