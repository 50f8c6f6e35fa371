from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from raft_snapshot_agent import flock
from raft_snapshot_agent.errors import SpoolError
from raft_snapshot_agent.transfer import spool as spools
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import sweep


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


_KILLED = """
import os, sys
from pathlib import Path
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import sweep
spool = Spool.create(Path(sys.argv[1]), sys.argv[2])
spool.write(bytes(3_000_000))
print("begun", flush=True)
sys.stdin.read()
"""


def writer(folder: Path, run_id: str) -> subprocess.Popen[str]:
    """Start a process that has spooled something and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder), run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_sweep_removes_the_spool_of_a_killed_agent_and_tells_its_run(tmp_path: Path) -> None:
    with writer(tmp_path, "dead01") as process:
        process.kill()
    assert len(files(tmp_path)) == 1
    assert sweep(tmp_path) == {"dead01"}
    assert files(tmp_path) == []


def test_sweep_leaves_the_spools_of_the_living(tmp_path: Path) -> None:
    with writer(tmp_path, "alive1") as process, Spool.create(tmp_path, "ours01"):
        assert sweep(tmp_path) == frozenset()
        assert len(files(tmp_path)) == 2
        process.kill()


def test_a_folder_that_cannot_be_swept_is_told_by_the_next_spool(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert sweep(tmp_path / "file" / "spool") == frozenset()
    with pytest.raises(SpoolError, match="Not a directory"):
        Spool.create(tmp_path / "file" / "spool", "0a1b2c")


def test_sweep_leaves_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".other.spool").touch()
    assert sweep(tmp_path) == frozenset()
    assert len(files(tmp_path)) == 2


def test_a_file_that_a_living_process_locks_is_not_abandoned(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "0a1b2c") as spool:
        second = tmp_path / ".second.partial"
        spool.link(second)
        assert not flock.remove_if_abandoned(second)
        assert second.exists()
    assert flock.remove_if_abandoned(second)
    assert not second.exists()


def test_what_is_gone_already_is_not_removed(tmp_path: Path) -> None:
    assert not flock.remove_if_abandoned(tmp_path / "gone")


def test_a_sweep_between_making_and_locking_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = flock.lock, threading.Event()

    def sweep_first(descriptor: int) -> bool:
        if not swept.is_set():
            swept.set()
            sweep(tmp_path)
        return lock(descriptor)

    monkeypatch.setattr(spools, "lock", sweep_first)
    with Spool.create(tmp_path, "0a1b2c") as spool:
        spool.write(b"it has a name")
        assert len(files(tmp_path)) == 1


def test_a_sweep_that_has_locked_and_not_yet_removed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two agents, or two clusters of one, may share a folder; a sweep may be slow."""

    def locked_by_a_slow_sweep(descriptor: int) -> bool:
        monkeypatch.setattr(spools, "lock", flock.lock)
        (path,) = tmp_path.iterdir()
        threading.Timer(0.1, path.unlink).start()
        return False

    monkeypatch.setattr(spools, "lock", locked_by_a_slow_sweep)
    with Spool.create(tmp_path, "1") as spool:
        assert spool.path.exists()
