"""Files that are locked while their owner lives, however it dies."""

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
"""How file systems say that they have no second names."""

_PAUSE = 0.05
"""Seconds between two looks whether a lock is free."""


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of a file, which stays.

    Arguments:
        path: The file; it is made where there is none.
        seconds: How long another process may keep it.

    Raises:
        TimeoutError: Another process kept it for longer.
        OSError: The file cannot be opened or made, or is a link.
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


def lock(descriptor: int) -> bool:
    """Claim an open file for as long as it stays open; false where somebody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def link_open(descriptor: int, target: Path) -> bool:
    """Give an open file another name; false where that cannot be done.

    Raises:
        OSError: There is such a name already, or no such folder.
    """
    try:
        files = os.open(_OPEN_FILES, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # With a folder's descriptor the library follows the link that stands for an open file.
        os.link(str(descriptor), target, src_dir_fd=files)
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise
        return False
    finally:
        os.close(files)
    return True


def remove_if_abandoned(path: Path, first: Callable[[], object] = lambda: None) -> bool:
    """Remove a file of ours unless a living process holds its lock.

    A link is not followed, a pipe not waited for: neither is a file of ours.

    Arguments:
        path: The file.
        first: Removes what the file stands for: who is killed meanwhile leaves the file, and with
            it the next one's way to the rest.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # gone meanwhile, or not ours to touch
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return is_file and lock(descriptor) and _remove_this(descriptor, path, first)
    finally:
        os.close(descriptor)


def _remove_this(descriptor: int, path: Path, first: Callable[[], object]) -> bool:
    """Remove the very file that was locked, not one that has taken its name since."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            first()
            path.unlink()
            return True
    return False
