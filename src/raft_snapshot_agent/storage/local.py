"""A folder on this host, written durably."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar, TypeVarTuple, Unpack

from pydantic import AfterValidator

from raft_snapshot_agent.claims import remove_if_abandoned
from raft_snapshot_agent.errors import (
    ConfigError,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage import durable
from raft_snapshot_agent.storage.base import Entry, Source, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.settings import StorageSettings
from raft_snapshot_agent.threads import in_thread

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

_CHUNK = 1 << 20

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR}
# EIO is not among them: after a failed fsync the kernel forgets that pages of the spool are not on
# the disk, and another fsync would report a success that is none.
_PASSING = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EBUSY}


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path, such as /var/backups/vault")
    return path


class LocalSettings(StorageSettings):
    """Snapshots in a folder of this host."""

    type: Literal["local"]
    path: Annotated[Path, AfterValidator(_absolute)]

    @property
    def folder(self) -> Path:
        """Where the snapshots lie, the prefix included."""
        return self.path / self.prefix

    def open(self) -> Storage:
        return LocalStorage(self.folder)

    def check(self) -> None:
        """Make the folder if it is missing, and try whether it can be written."""
        try:
            durable.make_folder(self.folder)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"storage folder {self.folder} cannot be written: {error.strerror}",
                hint=f"it must belong to the agent's user (uid {os.geteuid()})",
            ) from error


class LocalStorage:
    """Snapshots as plain files, mode 0600, complete and on the disk or not there."""

    kind = "local"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def location(self, name: str) -> str:
        return str(self._folder / name)

    async def put(self, name: str, source: Source) -> int:
        return await self._blocking(f"store {name}", self._put, name, source)

    async def entries(self) -> list[Entry]:
        return await self._blocking("list snapshots", self._entries)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        doing = f"read {name}"
        descriptor = await self._blocking(doing, self._open, name)
        try:
            while piece := await self._blocking(doing, os.read, descriptor, _CHUNK):
                yield piece
        finally:
            os.close(descriptor)

    async def delete(self, name: str) -> None:
        await self._blocking(f"delete {name}", self._delete, name)

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._blocking("sweep", self._sweep, leftovers)

    async def _blocking(
        self, doing: str, work: Callable[[Unpack[Arguments]], T], *args: *Arguments
    ) -> T:
        try:
            return await in_thread(partial(work, *args))
        except OSError as error:
            raise _failure(doing, self._folder, error) from error

    def _put(self, name: str, source: Source) -> int:
        return durable.write(source, self._path(name))

    def _entries(self) -> list[Entry]:
        found = []
        with os.scandir(self._folder) as children:
            for child in children:
                if durable.partial_of(child.name) is None and child.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                        size = child.stat(follow_symlinks=False).st_size
                        found.append(Entry(child.name, size))
        return found

    def _open(self, name: str) -> int:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._path(name), flags)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP} and self._folder.is_dir():
                raise self._not_found(name) from None
            raise
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise self._not_found(name)

    def _delete(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)
        durable.sync_folder(self._folder)

    def _sweep(self, leftovers: Leftovers) -> int:
        """Remove what nobody holds a lock on: that tells more than the IDs of dead runs."""
        inner = ((path, durable.partial_of(path.name)) for path in self._folder.iterdir())
        ours = [path for path, name in inner if name is not None and leftovers.is_ours(name)]
        return sum(map(remove_if_abandoned, ours))

    def _path(self, name: str) -> Path:
        if name in {"", ".", ".."} or "/" in name:
            raise self._not_found(name)
        return self._folder / name

    def _not_found(self, name: str) -> SnapshotNotFound:
        return SnapshotNotFound(f"there is no {name} in {self._folder}", hint="try list")


def _failure(doing: str, folder: Path, error: OSError) -> StorageError:
    message = f"cannot {doing} in {folder}: {error.strerror}"
    if error.errno in _FULL:
        return StorageFull(message, hint="free some space there or keep fewer snapshots")
    if error.errno in _DENIED:
        user = os.geteuid()
        return StorageDenied(message, hint=f"it must belong to the agent's user (uid {user})")
    if error.errno in _MISSING:
        return StorageError(message, hint="create the folder, or mount what belongs there")
    if error.errno in _PASSING:
        return StorageUnavailable(message, hint="check that the file system is mounted and answers")
    return StorageError(message, hint="look for disk errors in the kernel's log")
