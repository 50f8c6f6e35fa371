"""Files that are locked while their owner lives, however it dies."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path


def lock(descriptor: int) -> bool:
    """Claim an open file for as long as it stays open; false where somebody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_if_abandoned(path: Path) -> bool:
    """Remove a file of ours unless a living process holds its lock.

    A link is not followed, a pipe not waited for: neither is a file of ours.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # gone meanwhile, or not ours to touch
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return is_file and lock(descriptor) and _remove_this(descriptor, path)
    finally:
        os.close(descriptor)


def _remove_this(descriptor: int, path: Path) -> bool:
    """Remove the very file that was locked, not one that has taken its name since."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            path.unlink()
            return True
    return False
