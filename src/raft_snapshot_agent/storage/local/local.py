"""A folder on this host; files are flushed to disk."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, TypeVarTuple, Unpack

from pydantic import BeforeValidator, WithJsonSchema

from raft_snapshot_agent.errors import (
    ConfigError,
    NotMounted,
    NotThereYet,
    StorageDenied,
    reason_of,
)
from raft_snapshot_agent.fields import Timeout, absolute
from raft_snapshot_agent.flock import remove_if_abandoned
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http.body import StoppableSource, in_stoppable_thread
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.local import atomic_write
from raft_snapshot_agent.storage.local.accounts import find_group, find_user
from raft_snapshot_agent.storage.local.errors import denied_hint, failure
from raft_snapshot_agent.storage.local.mounts import missing_mount
from raft_snapshot_agent.storage.names import not_found, require_plain_name
from raft_snapshot_agent.storage.settings import StorageAddress, StorageSettings
from raft_snapshot_agent.storage.wrappers.timeout import TimeoutStorage
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:  # of which there is none unless a lease is kept there
    from raft_snapshot_agent.core.leases.lease import StoredLeaseStore

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

_CHUNK = 1 << 20
_LAST_ID = 2**32 - 2  # of users and groups; the next number means "keep"
_MODE = re.compile(r"0?[0-7]{3}")


def _octal(mode: Any) -> Any:
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ValueError('must be octal and in quotes, such as "0640"')
    if int(mode, 8) & 0o711 != 0o600:
        raise ValueError("must let the owner read and write, and nobody execute")
    return mode


def _named(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be a name or a number")  # noqa: TRY004 - for the operator
    if str(value).lstrip("-").isdecimal() and not 0 <= int(str(value)[:11]) <= _LAST_ID:
        raise ValueError(f"must be a name, or a number up to {_LAST_ID}")
    return str(value)


def _mount_point(value: Any) -> Any:
    if isinstance(value, bool | Path) or (isinstance(value, str) and value.startswith("/")):
        return value
    raise ValueError("must be true, false or the absolute path of a mount point")


_name_or_number = WithJsonSchema({"type": ["string", "integer"]})
_Named = Annotated[str, BeforeValidator(_named), _name_or_number]


class LocalSettings(StorageSettings):
    """Snapshots in a folder of this host."""

    type: Literal["local"]
    path: Annotated[Path, absolute("/var/backups/vault")]
    timeout: Timeout = timedelta(minutes=5)
    """How long the file system may be silent; a busy disk may take a while."""
    mode: Annotated[str, BeforeValidator(_octal)] = "0600"
    """Mode of the files; created folders get the execute bit for each read bit."""
    owner: _Named | None = None
    """Owner of the files, by name or number; only root may change it."""
    group: _Named | None = None
    """Group of the files; a group of the agent's user needs no privilege."""
    require_mount: Annotated[bool | Path, BeforeValidator(_mount_point)] = False
    """Write only while a file system is mounted there, or at the given folder."""

    @property
    def folder(self) -> Path:
        """The folder of the snapshots, including the prefix."""
        return self.path / self.prefix

    def open(self) -> Storage:
        return TimeoutStorage(LocalStorage(self.folder, self.access, self.mounted), self.timeout)

    def locate(self) -> StorageAddress:
        """Return the folder itself: links give it several names."""
        return StorageAddress("", (), os.path.realpath(self.folder))

    def lease_store(self, name: str) -> StoredLeaseStore:
        from raft_snapshot_agent.storage.local.lease_store import LocalLeaseStore

        return LocalLeaseStore(self.folder, name, self.access, self.mounted)

    def access(self) -> atomic_write.FileAccess:
        """Look up owner and group of the files.

        Raises:
            ConfigError: The user or group does not exist on this host.
        """
        owner, group = find_user(self.owner), find_group(self.group)
        return atomic_write.FileAccess(int(self.mode, 8), owner, group)

    def mounted(self) -> None:
        """Check that the required file system is mounted.

        Raises:
            NotMounted: It is not.
        """
        if self.require_mount is False:
            return
        required = None if self.require_mount is True else self.require_mount
        if missing := missing_mount(self.path, required):
            raise NotMounted(
                f"nothing is mounted at {missing}, where {self.folder} belongs",
                hint="mount it; snapshots are not written into the empty mount point",
            )

    def check(self) -> None:
        """Test whether the folder can be written or created; change nothing."""
        self._with_folder(atomic_write.try_folder)

    def prepare(self, made: set[Path] | None = None) -> None:
        """Create the folder if it is missing, unless its disk seems to be."""
        made = set() if made is None else made
        path, folder = (Path(os.path.realpath(one)) for one in (self.path, self.folder))
        below = [one.is_dir() for one in made if one.is_relative_to(path)]
        if folder not in made and (any(below) or not below):
            self._with_folder(atomic_write.make_folder)
            made.add(folder)

    def _with_folder(self, work: Callable[[Path, atomic_write.FileAccess], None]) -> None:
        access = self.access()
        self.mounted()
        try:
            work(self.folder, access)
        except OSError as error:
            raise ConfigError(
                f"storage folder {self.folder} cannot be written: {reason_of(error)}",
                hint=denied_hint(error),
            ) from error


class LocalStorage:
    """Snapshots as plain files, written atomically."""

    kind = "local"

    def __init__(
        self,
        folder: Path,
        access: Callable[[], atomic_write.FileAccess] = atomic_write.FileAccess,
        mounted: Callable[[], None] = lambda: None,
    ) -> None:
        """Store the arguments; the folder must exist when a method is called.

        Arguments:
            folder: Folder of the snapshots.
            access: Returns owner and mode of the files.
            mounted: Raises while the folder's file system is not mounted.
        """
        self._folder = folder
        self._access = access
        self._mounted = mounted

    def location(self, name: str) -> str:
        return str(self._folder / name)

    async def put(self, name: str, source: UploadSource) -> int:
        with self._translate_errors(f"store {name}"):
            return await in_stoppable_thread(partial(self._put, name, source))

    async def entries(self) -> list[Entry]:
        return await self._blocking("list snapshots", self._entries)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        doing = f"read {name}"
        with self._translate_errors(doing):
            work = partial(self._begin, name)
            file, piece = await in_thread(
                work, abandon=True, discard=lambda begun: begun[0].close()
            )
        with file:
            while piece:
                yield piece
                if len(piece) < _CHUNK:  # only the last piece of a file is shorter
                    return
                piece = await self._blocking(doing, file.read, _CHUNK)

    async def delete(self, name: str) -> None:
        await self._blocking(f"delete {name}", self._delete, name)

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._blocking("sweep", self._sweep, leftovers)

    async def _blocking(
        self, doing: str, work: Callable[[Unpack[Arguments]], T], *args: *Arguments
    ) -> T:
        with self._translate_errors(doing):
            return await in_thread(partial(work, *args), abandon=True)

    @contextlib.contextmanager
    def _translate_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failure(doing, self._folder, error) from error

    def _put(self, name: str, source: UploadSource, stop: Event) -> int:
        self._mounted()
        try:
            return atomic_write.write(
                StoppableSource(source, stop), self._path(name), self._access()
            )
        except ConfigError as error:
            raise StorageDenied(error.message, hint=error.hint) from error

    def _entries(self) -> list[Entry]:
        self._mounted()
        found = []
        with self._listing() as children:
            for child in children:
                name = child.name
                if atomic_write.target_of_partial(name) is None and child.is_file(
                    follow_symlinks=False
                ):
                    try:
                        found.append(Entry(name, child.stat(follow_symlinks=False).st_size))
                    except FileNotFoundError:  # deleted since it was listed
                        continue
        return found

    def _listing(self) -> contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]:
        try:
            return os.scandir(self._folder)
        except FileNotFoundError as error:
            hint = "the start of the agent creates it, or mount what belongs there"
            raise NotThereYet(f"{self._folder} does not exist yet", hint=hint) from error

    def _begin(self, name: str) -> tuple[FileIO, bytes]:
        """Open a file and read its first piece, which for a manifest is all of it."""
        # No bare descriptor: an abandoned thread could use its number after it was reused.
        file = FileIO(self._open(name))
        try:
            return file, file.read(_CHUNK)
        except OSError:
            file.close()
            raise

    def _open(self, name: str) -> int:
        self._mounted()
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._path(name), flags)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP} and self._folder.is_dir():
                raise not_found(name, str(self._folder)) from None
            raise
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise not_found(name, str(self._folder))

    def _delete(self, name: str) -> None:
        self._mounted()
        # Not flushed: the next put does that. A file that returns after a power failure is pruned
        # again, and a flush for each of thousands would take long.
        self._path(name).unlink(missing_ok=True)
        if not self._folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _sweep(self, leftovers: Leftovers) -> int:
        """Remove unlocked temporary files; a lock is more reliable than IDs of dead runs."""
        self._mounted()
        inner = (
            (path, atomic_write.target_of_partial(path.name)) for path in self._folder.iterdir()
        )
        ours = [path for path, name in inner if name is not None and leftovers.is_ours(name)]
        return sum(map(remove_if_abandoned, ours))

    def _path(self, name: str) -> Path:
        return self._folder / require_plain_name(name, str(self._folder))
