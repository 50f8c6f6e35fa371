from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contract.sources import MIB, NAME, Unlinkable, Watched, beside, bytes_of, whole

from raft_snapshot_agent.errors import (
    NotThereYet,
    SnapshotNotFound,
    Stopped,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.local.local import LocalStorage
from raft_snapshot_agent.transfer.spool import Spool


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return list(folder.glob(pattern))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


@pytest.fixture
def storage(folder: Path) -> LocalStorage:
    return LocalStorage(folder)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk, in order, and of which file or folder."""
    made: list[str] = []

    def record(word: str, name: str, subject: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            made.append(f"{word} {subject(*arguments)}")
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    def opened(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    record("flush", "fdatasync", opened)
    record("sync", "fsync", opened)
    record("rename", "rename", lambda _, target: Path(target).name)
    record("unlink", "unlink", lambda path: Path(path).name)
    return made


@pytest.mark.parametrize("as_copy", [False, True])
async def test_file_then_name_then_folder_reach_the_disk(
    storage: LocalStorage, tmp_path: Path, calls: list[str], as_copy: bool
) -> None:
    with whole(tmp_path, b"snapshot") as source:
        await storage.put(NAME, Unlinkable(source) if as_copy else source)
        assert calls == [f"sync .{NAME}.partial", f"rename {NAME}", "sync backups"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
async def test_a_file_system_that_flushes_no_folder_will_do(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    flush = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    await storage.put(NAME, BytesSource(b"a snapshot"))
    assert [one.size for one in await storage.entries()] == [len(b"a snapshot")]
    await storage.delete(NAME)


@pytest.mark.parametrize("as_copy", [False, True])
async def test_a_long_file_is_flushed_while_it_grows(
    storage: LocalStorage, tmp_path: Path, calls: list[str], as_copy: bool
) -> None:
    with Watched(tmp_path) as source:
        followed = Unlinkable(source) if as_copy else source
        async with beside(source, storage.put, NAME, followed):
            for _ in range(3):
                source.grow(bytes(34 * MIB))
                await source.reached(source.spool.wait_for_bytes(0))
            flushed = calls.copy()
            source.accept()
    assert flushed == [f"flush .{NAME}.partial"] * 3


async def test_thousands_of_deletes_do_not_wait_for_the_disk(
    storage: LocalStorage, calls: list[str]
) -> None:
    """What a power cut brings back is deleted again."""
    await storage.put(NAME, BytesSource(b"snapshot"))
    calls.clear()
    await storage.delete(NAME)
    assert calls == [f"unlink {NAME}"]
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert calls[-1] == "sync backups"


async def test_a_spool_on_the_same_file_system_is_not_copied(
    storage: LocalStorage, folder: Path, tmp_path: Path
) -> None:
    with whole(tmp_path, b"snapshot") as source:
        (spool,) = files(tmp_path, ".*.spool")
        await storage.put(NAME, source)
        assert (folder / NAME).samefile(spool)
    assert (folder / NAME).read_bytes() == b"snapshot"


@pytest.mark.parametrize("at_once", [False, True])
async def test_one_of_two_folders_damaged_in_place_leaves_the_other_whole(
    tmp_path: Path, at_once: bool
) -> None:
    folders = [tmp_path / name for name in "abc"]
    with whole(tmp_path, b"snapshot") as source:
        async with anyio.create_task_group() as tasks:
            for folder in folders:
                folder.mkdir()
                put = LocalStorage(folder).put
                tasks.start_soon(put, NAME, source) if at_once else await put(NAME, source)
    for damaged in folders:
        with (damaged / NAME).open("r+b") as file:
            file.write(b"XXXX")
        whole_ones = [folder for folder in folders if (folder / NAME).read_bytes() == b"snapshot"]
        assert whole_ones == [folder for folder in folders if folder > damaged]


@pytest.mark.parametrize("as_copy", [False, True])
async def test_only_the_owner_may_read_a_snapshot(
    storage: LocalStorage, folder: Path, tmp_path: Path, as_copy: bool
) -> None:
    with whole(tmp_path, b"snapshot") as source:
        await storage.put(NAME, Unlinkable(source) if as_copy else source)
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600


async def test_a_full_disk_keeps_nothing(full_disk: Path, tmp_path: Path) -> None:
    storage = LocalStorage(full_disk)
    await storage.put("before.snap", BytesSource(b"before"))
    with whole(tmp_path, bytes_of(12 * MIB)) as source, pytest.raises(StorageFull) as caught:
        await storage.put(NAME, Unlinkable(source))
    assert files(full_disk) == [full_disk / "before.snap"]
    assert caught.value.message == f"cannot store {NAME} in {full_disk}: No space left on device"
    assert "free some space" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EACCES, StorageDenied),
        (errno.EPERM, StorageDenied),
        (errno.EROFS, StorageDenied),
        (errno.ESTALE, StorageUnavailable),
        (errno.ETIMEDOUT, StorageUnavailable),
        (errno.EIO, StorageError),
    ],
)
async def test_a_failing_disk_is_told_and_keeps_nothing(
    storage: LocalStorage,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[StorageError],
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with whole(tmp_path, b"snapshot") as source, pytest.raises(StorageError) as caught:
        await storage.put(NAME, source)
    assert type(caught.value) is kind
    assert caught.value.message == f"cannot store {NAME} in {folder}: {os.strerror(number)}"
    assert caught.value.hint
    assert files(folder) == []


async def test_a_read_only_disk_is_not_blamed_on_its_owner(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageDenied) as caught:
        await storage.put(NAME, BytesSource(b"snapshot"))
    assert "read-only" in caught.value.hint
    assert "uid" not in caught.value.hint


@pytest.mark.parametrize("as_copy", [False, True])
async def test_a_missing_folder_is_not_made_by_a_put(tmp_path: Path, as_copy: bool) -> None:
    """A disk that is not mounted must not be replaced by its mount point."""
    storage = LocalStorage(tmp_path / "unmounted")
    with whole(tmp_path, b"snapshot") as source, pytest.raises(StorageError) as caught:
        await storage.put(NAME, Unlinkable(source) if as_copy else source)
    assert "No such file or directory" in caught.value.message
    assert "mount" in caught.value.hint
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize(
    "verb",
    [
        lambda storage: storage.entries(),
        lambda storage: anext(storage.read(NAME)),
        lambda storage: storage.delete(NAME),
        lambda storage: storage.sweep(Leftovers()),
    ],
)
async def test_a_missing_folder_is_told_by_every_verb(
    tmp_path: Path, verb: Callable[[LocalStorage], Awaitable[object]]
) -> None:
    with pytest.raises(StorageError) as caught:
        await verb(LocalStorage(tmp_path / "unmounted"))
    assert type(caught.value) in (StorageError, NotThereYet)
    assert "unmounted" in caught.value.message


async def test_only_plain_files_are_entries(storage: LocalStorage, folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"abc")
    (folder / "link").symlink_to(folder / "file")
    (folder / f".{NAME}.partial").touch()
    os.mkfifo(folder / "pipe")
    assert [(entry.name, entry.size) for entry in await storage.entries()] == [("file", 3)]


@pytest.mark.parametrize("name", ["folder", "link", "pipe"])
async def test_only_plain_files_are_read(storage: LocalStorage, folder: Path, name: str) -> None:
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    with pytest.raises(SnapshotNotFound):
        await anext(storage.read(name))


async def test_two_writers_of_one_name_do_not_mix(
    storage: LocalStorage, folder: Path, tmp_path: Path
) -> None:
    with Watched(tmp_path) as first:
        async with beside(first, storage.put, "static.snap", Unlinkable(first)):
            first.grow(b"first")
            await first.reached(5)
            with pytest.raises(StorageUnavailable):
                await storage.put("static.snap", BytesSource(b"second"))
            first.accept()
    assert (folder / "static.snap").read_bytes() == b"first"


async def test_a_sweep_between_making_and_locking_costs_nothing(
    storage: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers = [folder / f".{NAME}.partial"]
    flock = fcntl.flock

    def unlink_first(descriptor: int, operation: int) -> None:
        while leftovers:
            leftovers.pop().unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", unlink_first)
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert (folder / NAME).read_bytes() == b"snapshot"


@pytest.mark.parametrize(
    ("leftover", "removed"),
    [
        (f".{NAME}.partial", True),
        (f".{NAME}.json.partial", True),
        (".raft_snapshot-1795447800000000000.snap.partial", True),
        (".latest.snap.partial", True),
        (".latest.snap.json.partial", True),
        (".somebody-else.partial", False),
        (f"{NAME}.partial", False),
        (f".{NAME}", False),
    ],
)
async def test_only_leftovers_of_ours_are_swept(folder: Path, leftover: str, removed: bool) -> None:
    storage = LocalStorage(folder)
    (folder / leftover).touch()
    assert await storage.sweep(Leftovers(static_name="latest.snap")) == removed
    assert (folder / leftover).exists() is not removed


async def test_any_number_of_followers_may_wait(storage: LocalStorage, tmp_path: Path) -> None:
    """More than the shared pool has threads."""
    async with AsyncExitStack() as puts:
        sources = [puts.enter_context(Watched(tmp_path, f"{number:06x}")) for number in range(60)]
        for number, source in enumerate(sources):
            put = beside(source, storage.put, f"{number}.snap", source)
            await puts.enter_async_context(put)
        for source in reversed(sources):
            source.grow(b"snapshot")
            await source.reached(8)
            source.accept()
    assert len(await storage.entries()) == 60


async def test_a_spool_that_was_closed_fails_its_follower(
    storage: LocalStorage, folder: Path, tmp_path: Path
) -> None:
    spool = Spool.create(tmp_path, "0a1b2c")
    spool.close()
    with pytest.raises(Stopped):
        await storage.put(NAME, spool)
    assert files(folder) == []


async def test_a_read_that_is_given_up_leaves_no_file_open(
    storage: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NAME).write_bytes(b"whole")
    answer, opened = threading.Event(), os.open
    done = threading.Semaphore(0)

    def slow(path: Any, *args: Any, **named: Any) -> int:
        if str(path).endswith(NAME):
            answer.wait(60)
            done.release()
        return opened(path, *args, **named)

    monkeypatch.setattr(os, "open", slow)
    for _ in range(3):
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await anext(storage.read(NAME))
    answer.set()
    for _ in range(3):
        assert done.acquire(timeout=60)
    with anyio.fail_after(60):
        while NAME in open_names():  # noqa: ASYNC110 - threads close them
            await anyio.sleep(0.01)


def open_names() -> set[str]:
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(one.readlink().name)
    return found
