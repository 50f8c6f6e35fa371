"""Writes a file atomically: it is complete and on disk, or does not exist."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.flock import lock, remove_if_abandoned
from raft_snapshot_agent.storage.base import UploadSource

_STEP = 2 << 20
_FLUSH_EVERY = 32 << 20
"""Bytes between flushes while the file grows, so that the last flush is short."""
FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""Errors of file systems and kernels without support for unnamed files."""


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Owner, group and mode of files and folders; -1 keeps the owner or group."""

    mode: int = 0o600
    """Mode of files; folders get the execute bit for each read bit."""
    owner: int = -1
    group: int = -1

    def grant(self, descriptor: int) -> None:
        """Set owner and mode of an open file or folder, unless they are the defaults."""
        if self == _OURS:  # not every file system supports the calls
            return
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        # Mode first: only the owner may set it.
        os.fchmod(descriptor, self.mode | (self.mode & 0o444) >> 2 if is_folder else self.mode)
        os.fchown(descriptor, self.owner, self.group)


_OURS = FileAccess()


@dataclass(frozen=True, slots=True)
class _Partial:
    """A temporary file, locked while its writer lives."""

    path: Path
    descriptor: int
    linked: bool
    """Whether it is a hard link to the source's file, so that nothing is copied."""


def write(source: UploadSource, target: Path, access: FileAccess = _OURS) -> int:
    """Write `source` to a hidden file, and rename it when it is on disk.

    A file readable by others is always copied, because the source's file may have other links;
    and one that gets its group or an ACL from its folder, because a link would not get them.

    Returns:
        Bytes written.

    Raises:
        AgentError: The source failed; the hidden file is removed.
        OSError: The disk failed; the hidden file is removed.
    """
    may_link = access == _OURS and not _passes_rights_on(target.parent)
    with _partial(source, partial_path(target), may_link=may_link) as partial:
        steps = _growth(source) if partial.linked else _copy(source, partial.descriptor)
        flushed = 0
        for size in steps:
            if size - flushed >= _FLUSH_EVERY:
                os.fdatasync(partial.descriptor)
                flushed = size
        access.grant(partial.descriptor)
        os.fsync(partial.descriptor)
        source.follow(os.fstat(partial.descriptor).st_size)  # raises if it was cancelled
        partial.path.rename(target)
        sync_folder(target.parent)
        return os.fstat(partial.descriptor).st_size


def _passes_rights_on(folder: Path) -> bool:
    """Return whether new files get the folder's group or its default ACL."""
    if folder.stat().st_mode & stat.S_ISGID:
        return True
    try:
        return bool(os.getxattr(folder, "system.posix_acl_default"))
    except OSError:  # there is none, or the file system has none at all
        return False


def partial_path(target: Path) -> Path:
    """Return the path of the hidden file that becomes `target`."""
    return target.with_name(f".{target.name}.partial")


def target_of_partial(name: str) -> str | None:
    """Return the final name for a name made by `partial_path`; `None` for other names."""
    if name.startswith(".") and name.endswith(".partial"):
        return name[1:].removesuffix(".partial")
    return None


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that its new, changed and removed names are on disk.

    Some network file systems refuse that; they write names to the server at once.

    Source: fsync(2), EINVAL.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path, access: FileAccess = _OURS) -> None:
    """Create a folder and its missing parents; existing ones are not changed."""
    if not folder.is_dir():
        make_folder(folder.parent, access)
        add_folder(folder, access)


def add_folder(folder: Path, access: FileAccess = _OURS) -> None:
    """Create a folder in an existing one.

    Raises:
        OSError: The folder above it does not exist, as where its disk is not mounted.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        access.grant(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder.parent)


def try_folder(folder: Path, access: FileAccess = _OURS) -> None:
    """Test whether files, or else the folder itself, can be created; change nothing.

    A full disk is no error: retention, which needs a running agent, makes room there.

    Raises:
        OSError: Neither is possible.
    """
    there = folder
    while not there.exists():
        if there.is_symlink():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        there = there.parent
    try:
        # An unnamed file: it is invisible, and removed when it is closed.
        descriptor = os.open(there, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE | FULL:
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
            hint = "if no agent is running, remove that file"
            raise StorageUnavailable(
                f"{path} is being written by another process", hint=hint
            ) from None
    return _begin(source, path, may_link=may_link)


def _begin(source: UploadSource, path: Path, *, may_link: bool) -> _Partial:
    if may_link and source.link(path):  # under the lock of the source
        return _Partial(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), linked=True)
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            lock(descriptor, wait=True)
            if os.fstat(descriptor).st_nlink:
                return _Partial(path, descriptor, linked=False)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)  # another agent's sweep removed the file in between


def _growth(source: UploadSource) -> Iterator[int]:
    position = 0
    while (available := source.follow(position)) > position:
        yield (position := available)


def _copy(source: UploadSource, descriptor: int) -> Iterator[int]:
    """Write the bytes again: copies that share blocks (reflinks) would be damaged together."""
    position = 0
    while piece := source.read(position, _STEP):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
        yield (position := position + len(piece))
