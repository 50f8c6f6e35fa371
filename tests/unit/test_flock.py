"""File systems without locks, such as NFS without its lock service: the agent works there, too."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

import pytest
from tests.contract.sources import NAME, Unlinkable, Watched

from raft_snapshot_agent.core.alarms.notices import NoticeMemory
from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.flock import locked, remove_if_abandoned
from raft_snapshot_agent.notify.memory_file import MemoryFile
from raft_snapshot_agent.servers.throw_away import throw_away_folder
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.local.atomic_write import partial_path
from raft_snapshot_agent.storage.local.local import LocalStorage
from raft_snapshot_agent.transfer.spool import Spool

pytestmark = pytest.mark.usefixtures("_no_locks")
DAY = 24 * 3600


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def _no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        number = getattr(errno, request.param)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_snapshot_is_spooled(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "0a1b2c") as spool:
        spool.write(b"x")


@pytest.mark.anyio
@pytest.mark.parametrize("linked", [True, False])
async def test_a_snapshot_is_stored(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "stored").mkdir()
    storage = LocalStorage(tmp_path / "stored")
    with Watched(tmp_path) as source:
        source.grow(b"whole")
        source.accept()
        await storage.put(NAME, source if linked else Unlinkable(source))
    assert [path.name for path in (tmp_path / "stored").iterdir()] == [NAME]


@pytest.mark.anyio
async def test_what_an_agent_may_be_writing_is_not_replaced(tmp_path: Path) -> None:
    partial_path(tmp_path / NAME).touch()
    with pytest.raises(
        StorageUnavailable, match=r"another process \(if no agent is running, remove"
    ):
        await LocalStorage(tmp_path).put(NAME, BytesSource(b"whole"))


def test_a_memory_is_kept(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    file.merge({}, {"a": NoticeMemory()})
    assert file.read() == {"a": NoticeMemory()}
    with locked(tmp_path / "another", 0):
        pass


def test_a_server_for_a_drill_has_a_folder(tmp_path: Path) -> None:
    with throw_away_folder(tmp_path) as folder:
        assert folder.is_dir()


def test_what_may_belong_to_a_running_agent_is_kept_for_a_day(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.touch()
    assert not remove_if_abandoned(left)
    os.utime(left, times=(time.time(), time.time() - DAY - 60))
    assert remove_if_abandoned(left)
    assert not left.exists()


def test_other_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / "a", 0):
        pass


@pytest.mark.anyio
async def test_a_file_that_cannot_be_locked_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StorageError, match="Input/output"):
        await LocalStorage(tmp_path).put(NAME, BytesSource(b"whole"))
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - the shorter one
