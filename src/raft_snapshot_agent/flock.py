"""Lock files with flock: the kernel releases the lock when its process ends, killed or not."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OPEN_FILES = "/proc/self/fd"
_NOT_LINKED = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}
"""Errors of file systems that do not support hard links."""
_NOT_LOCKED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of file systems that do not support locks, such as NFS without its lock service."""
_ABANDONED = 24 * 3600.0
"""Seconds without a change after which a file that cannot be locked counts as abandoned."""

_PAUSE = 0.05
"""Seconds between two attempts to get a lock."""


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of a file; the file is not removed afterwards.

    Arguments:
        path: The file; it is created if missing.
        seconds: How long to wait for another process to release it.

    Raises:
        TimeoutError: Another process did not release it in time.
        OSError: The file cannot be opened or created, or is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        given_up = time.monotonic() + seconds
        while not lock(descriptor):
            if time.monotonic() > given_up:
                why = f"another process has held {path.name} for {seconds:g} s"
                raise TimeoutError(errno.ETIMEDOUT, why)
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; return false if another process holds the lock.

    On a file system without locks, nobody can hold one.

    Arguments:
        descriptor: The file.
        wait: Wait until the other process releases it.
    """
    return _try_lock(descriptor, wait=wait) is not False


def _try_lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Return the same, and `None` on a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_LOCKED:
            raise
        return None
    return True


def link_open(descriptor: int, target: Path) -> bool:
    """Create a hard link to an open file; return false where links are not supported.

    Raises:
        OSError: The name exists already, or the folder does not.
    """
    try:
        files = os.open(_OPEN_FILES, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # With a folder's descriptor the library follows the link in /proc to the open file.
        os.link(str(descriptor), target, src_dir_fd=files)
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise
        return False
    finally:
        os.close(files)
    return True


def remove_if_abandoned(path: Path, first: Callable[[], object] = lambda: None) -> bool:
    """Remove a file of the agent unless a running process holds its lock.

    On a file system without locks, only a file that has not changed for a day is removed. Links
    are not followed and pipes are not waited for: the agent creates neither.

    Arguments:
        path: The file.
        first: Removes what belongs to the file. It runs before the file is removed, so that
            after a crash in between the next start finds the file and repeats both.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # already removed, or not a file of the agent
    try:
        return _is_abandoned(descriptor) and _remove_this(descriptor, path, first)
    finally:
        os.close(descriptor)


def _is_abandoned(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return False
    locked_now = _try_lock(descriptor)
    return time.time() - found.st_mtime > _ABANDONED if locked_now is None else locked_now


def _remove_this(descriptor: int, path: Path, first: Callable[[], object]) -> bool:
    """Remove the file that was locked, but not a new file of the same name."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            first()
            path.unlink()
            return True
    return False
