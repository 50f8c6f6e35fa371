"""Who may read what a local storage holds, and on which file system it lies."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS
from tests.contract.sources import NAME, content, whole

from raft_snapshot_agent.errors import ConfigError, StorageDenied, StorageError
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.local import mounts
from raft_snapshot_agent.storage.local.errors import failure
from raft_snapshot_agent.storage.local.local import LocalSettings


def settings(path: Path, **more: Any) -> LocalSettings:
    made: LocalSettings = SETTINGS.validate_python({"type": "local", "path": str(path), **more})
    return made


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Who files and folders were given to; nobody needs to be root for it."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, owner, group: given.append((owner, group)))
    return given


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """What is mounted, and what is to be."""
    mounted, fstab = tmp_path / "mountinfo", tmp_path / "fstab"
    monkeypatch.setattr(mounts, "_MOUNTS", mounted)
    monkeypatch.setattr(mounts, "_FSTAB", fstab)
    mounted.write_text("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    return mounted, fstab


def mount(table: Path, folder: Path) -> None:
    escaped = str(folder).replace(" ", r"\040")
    with table.open("a") as lines:
        lines.write(f"99 21 8:17 / {escaped} rw - ext4 /dev/sdb1 rw\n")


@pytest.mark.parametrize(
    ("mode", "file", "folder"),
    [("0600", 0o600, 0o700), ("0640", 0o640, 0o750), ("644", 0o644, 0o755), ("0660", 0o660, 0o770)],
)
async def test_files_get_the_mode_and_folders_what_fits_it(
    tmp_path: Path, mode: str, file: int, folder: int
) -> None:
    local = settings(tmp_path / "backups", prefix="prod", mode=mode)
    local.prepare()
    with whole(tmp_path, b"snapshot") as source:
        await local.open().put(NAME, source)
    for path in (tmp_path / "backups", tmp_path / "backups/prod"):
        assert path.stat().st_mode & 0o777 == folder
    assert (tmp_path / "backups/prod" / NAME).stat().st_mode & 0o777 == file


async def test_a_spool_shares_no_file_that_others_may_read(tmp_path: Path) -> None:
    """Another storage may hold the very same file under other rules."""
    private, shared = settings(tmp_path / "private"), settings(tmp_path / "shared", mode="0640")
    with whole(tmp_path, b"snapshot") as source:
        for local in (private, shared):
            local.prepare()
            await local.open().put(NAME, source)
        assert source.spool.path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "private" / NAME).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "shared" / NAME).stat().st_mode & 0o777 == 0o640


def default_acl() -> bytes:
    """Write one that lets user 4242 read. Source: linux/posix_acl_xattr.h."""
    nobody = 0xFFFFFFFF
    entries = (1, 7, nobody), (2, 4, 4242), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody)
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_group(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, -1, 4242)
    folder.chmod(0o2770)


def set_default_acl(folder: Path) -> None:
    try:
        os.setxattr(folder, "system.posix_acl_default", default_acl())
    except OSError as error:
        pytest.skip(f"no lists of access here: {error}")


@pytest.mark.parametrize("prepare", [set_group, set_default_acl])
async def test_a_snapshot_gets_what_its_folder_passes_on(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    """A second name for the spool's file would have the spool's group and no list of access."""
    folder = tmp_path / "backups"
    folder.mkdir()
    prepare(folder)
    local = settings(folder).open()
    with whole(tmp_path, b"snapshot") as source:
        await local.put(NAME, source)
        await local.put(f"{NAME}.json", BytesSource(b"{}"))
        assert not (folder / NAME).samefile(source.spool.path)
    snapshot, manifest = folder / NAME, folder / f"{NAME}.json"
    assert snapshot.stat().st_gid == manifest.stat().st_gid == folder.stat().st_gid
    assert os.listxattr(snapshot) == os.listxattr(manifest)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_refuses_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Nor does one without inodes: retention makes room there."""
    real = os.open

    def full(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", full)
    settings(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir(mode=0o711)
    settings(tmp_path / "backups", mode="0640").prepare()
    assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"owner": "root"}, (0, -1)),
        ({"group": "root"}, (-1, 0)),
        ({"owner": 1234, "group": "4321"}, (1234, 4321)),
    ],
)
async def test_files_are_given_to_owner_and_group(
    tmp_path: Path, owners: list[tuple[int, int]], more: dict[str, Any], expected: tuple[int, int]
) -> None:
    local = settings(tmp_path / "backups", **more)
    local.prepare()
    owners.clear()
    await local.open().put(NAME, BytesSource(b"snapshot"))
    assert owners == [expected]


@pytest.mark.parametrize("key", ["owner", "group"])
@pytest.mark.parametrize("number", [2**32 - 1, 2**32, 10**20, -1, "4294967295", "9" * 5001])
def test_a_number_that_no_user_has_is_refused(tmp_path: Path, key: str, number: object) -> None:
    with pytest.raises(ValidationError, match="a number up to 4294967294"):
        settings(tmp_path, **{key: number})
    settings(tmp_path, **{key: 2**32 - 2})


def test_unknown_names_are_told(tmp_path: Path) -> None:
    for key in ("owner", "group"):
        with pytest.raises(ConfigError, match=f"{key} nobody-of-ours does not exist"):
            settings(tmp_path, **{key: "nobody-of-ours"}).check()


async def test_a_missing_privilege_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    local = settings(tmp_path / "backups", owner=1)
    (tmp_path / "backups").mkdir()
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(ConfigError, match="CAP_CHOWN"):
        local.check()
    with pytest.raises(StorageDenied) as caught:
        await local.open().put(NAME, BytesSource(b"snapshot"))
    assert "CAP_CHOWN" in caught.value.hint
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.mark.parametrize("mode", [640, 416, "rw-r-----", "0440", "0750", "1640", "0641"])
def test_modes_that_make_no_sense_are_refused(tmp_path: Path, mode: Any) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, mode=mode)


async def test_nothing_is_written_into_an_empty_mount_point(
    tmp_path: Path, tables: tuple[Path, Path]
) -> None:
    mounted, _ = tables
    point = tmp_path / "my disk"
    (point / "vault").mkdir(parents=True)
    local = settings(point, prefix="vault", require_mount=True)
    with pytest.raises(StorageError, match=f"nothing is mounted at {point}"):
        local.check()
    for verb in (local.open().put(NAME, BytesSource(b"")), local.open().entries()):
        with pytest.raises(StorageError, match=f"nothing is mounted at {point}") as caught:
            await verb
        assert "mount it" in caught.value.hint
    assert list((point / "vault").iterdir()) == []

    mount(mounted, point)
    local.check()
    await local.open().put(NAME, BytesSource(b"snapshot"))
    assert await content(local.open()) == b"snapshot"


def test_the_nearest_mount_point_counts(tmp_path: Path, tables: tuple[Path, Path]) -> None:
    mounted, fstab = tables
    local = settings(tmp_path / "disk/vault", require_mount=True)
    mount(mounted, tmp_path)
    local.mounted()

    fstab.write_text(f"# disks\nUUID=1 {tmp_path}/disk ext4 defaults 0 2\n")
    with pytest.raises(StorageError, match=f"nothing is mounted at {tmp_path}/disk,"):
        local.mounted()
    mount(mounted, tmp_path / "disk")
    local.mounted()


def test_the_mount_point_can_be_named(tmp_path: Path, tables: tuple[Path, Path]) -> None:
    mounted, _ = tables
    mount(mounted, tmp_path)
    local = settings(tmp_path / "disk/vault", require_mount=str(tmp_path / "disk"))
    with pytest.raises(StorageError, match=f"nothing is mounted at {tmp_path}/disk,"):
        local.mounted()
    mount(mounted, tmp_path / "disk")
    local.mounted()


def test_without_tables_nothing_counts_as_mounted(tmp_path: Path, tables: object) -> None:
    mounts._MOUNTS.unlink()
    with pytest.raises(StorageError):
        settings(tmp_path, require_mount=True).mounted()


def test_the_real_table_can_be_read() -> None:
    assert mounts.missing_mount(Path("/proc/self")) is None


@pytest.mark.parametrize(
    ("doing", "number", "hint"),
    [
        ("delete a.snap", errno.EPERM, "likely the file or its folder is immutable"),
        ("delete a.snap", errno.EACCES, "it must belong to the agent's user"),
        ("store a.snap", errno.EPERM, "needs root or CAP_CHOWN"),
        ("store a.snap", errno.ENOSPC, "free some space or inodes there"),
        ("store a.snap", errno.EDQUOT, "free some space or inodes there"),
        ("list snapshots", errno.ENOTDIR, "a file is there: set path to a folder"),
        ("list snapshots", errno.ENOENT, "create the folder, or mount what belongs there"),
    ],
)
def test_a_hint_fits_what_was_refused(doing: str, number: int, hint: str) -> None:
    error = failure(doing, Path("/var/backups"), OSError(number, os.strerror(number)))
    assert hint in error.hint


def test_a_file_where_the_folder_belongs_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError) as caught:
            settings(path).check()
        assert caught.value.hint == "a file is there: set path to a folder"
