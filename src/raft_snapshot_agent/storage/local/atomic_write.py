"""Writing a file so that it is there complete, on the disk, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.flock import remove_if_abandoned
from raft_snapshot_agent.storage.base import UploadSource

_STEP = 2 << 20
_FLUSH_EVERY = 32 << 20
"""Bytes between two flushes while the file still grows: the last one is short then."""
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""How file systems and kernels say that they have no files without a name."""


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Whose files and folders are, and who else may read them; -1 leaves an owner as it is."""

    mode: int = 0o600
    """Of files; folders that may be read may be entered, too."""
    owner: int = -1
    group: int = -1

    def grant(self, descriptor: int) -> None:
        """Set it on an open file or folder, unless those are made so anyhow."""
        if self == _OURS:  # not every file system can be asked
            return
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        # Once it is somebody else's, its mode is that one's to set.
        os.fchmod(descriptor, self.mode | (self.mode & 0o444) >> 2 if is_folder else self.mode)
        os.fchown(descriptor, self.owner, self.group)


_OURS = FileAccess()


@dataclass(frozen=True, slots=True)
class _Partial:
    """A temporary file, locked for as long as its writer lives."""

    path: Path
    descriptor: int
    linked: bool
    """It is the source's own file under a second name: nothing is copied."""


def write(source: UploadSource, target: Path, access: FileAccess = _OURS) -> int:
    """Follow `source` into a hidden file, and give that its name once it is on the disk.

    A file that is to be read by others is always copied: the source's own may lie in more places.

    Returns:
        Bytes written.

    Raises:
        AgentError: The source failed; nothing stays.
        OSError: The disk did; nothing stays.
    """
    with _partial(source, partial_path(target), may_link=access == _OURS) as partial:
        steps = _growth(source) if partial.linked else _copy(source, partial.descriptor)
        flushed = 0
        for size in steps:
            if size - flushed >= _FLUSH_EVERY:
                os.fdatasync(partial.descriptor)
                flushed = size
        access.grant(partial.descriptor)
        os.fsync(partial.descriptor)
        source.follow(os.fstat(partial.descriptor).st_size)  # not if it was given up meanwhile
        partial.path.rename(target)
        sync_folder(target.parent)
        return os.fstat(partial.descriptor).st_size


def partial_path(target: Path) -> Path:
    """Name the hidden file that becomes `target`."""
    return target.with_name(f".{target.name}.partial")


def target_of_partial(name: str) -> str | None:
    """Return which name a file of `partial_path` was to get; `None` where it is none of ours."""
    if name.startswith(".") and name.endswith(".partial"):
        return name[1:].removesuffix(".partial")
    return None


def sync_folder(folder: Path) -> None:
    """Bring a folder's new, changed and removed names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, access: FileAccess = _OURS) -> None:
    """Make a folder, and those above it that are missing; what is there stays as it is."""
    if folder.is_dir():
        return
    make_folder(folder.parent, access)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        access.grant(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder.parent)


def try_folder(folder: Path, access: FileAccess = _OURS) -> None:
    """Try whether files can be made in a folder, or it can be made itself; nothing is changed.

    Raises:
        OSError: Neither.
    """
    there = folder
    while not there.exists():
        if there.is_symlink():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        there = there.parent
    try:
        # A file without a name: nobody sees it, and it is gone when it is closed.
        descriptor = os.open(there, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        return _must_be_writable(there)
    try:
        access.grant(descriptor)
    finally:
        os.close(descriptor)


def _must_be_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextlib.contextmanager
def _partial(source: UploadSource, path: Path, *, may_link: bool) -> Iterator[_Partial]:
    partial = _claim(source, path, may_link=may_link)
    try:
        yield partial
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(partial.descriptor)


def _claim(source: UploadSource, path: Path, *, may_link: bool) -> _Partial:
    try:
        return _begin(source, path, may_link=may_link)
    except FileExistsError:
        if not remove_if_abandoned(path):
            raise StorageUnavailable(f"{path} is being written by another process") from None
    return _begin(source, path, may_link=may_link)


def _begin(source: UploadSource, path: Path, *, may_link: bool) -> _Partial:
    if may_link and source.link(path):  # under the lock of the source
        return _Partial(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), linked=True)
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return _Partial(path, descriptor, linked=False)
        os.close(descriptor)  # another agent's sweep came in between


def _growth(source: UploadSource) -> Iterator[int]:
    position = 0
    while (available := source.follow(position)) > position:
        yield (position := available)


def _copy(source: UploadSource, descriptor: int) -> Iterator[int]:
    position = 0
    while piece := source.read(position, _STEP):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
        yield (position := position + len(piece))
