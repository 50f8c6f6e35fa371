"""Check which users could have written a file, and what those users may read.

A configuration may name files whose content is sent to a server. A configuration that another user
wrote must not make a more privileged process read a file that this user may not read.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

ANYBODY = -1
"""A user ID without an account, which has only the permissions of all other users."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(found: os.stat_result) -> bool:
    """Return whether a file or folder belongs to this process's user or to root."""
    return found.st_uid in {0, os.geteuid()}


def others_write(found: os.stat_result) -> bool:
    """Return whether its mode lets users other than its owner write to it."""
    return bool(found.st_mode & _OTHERS_WRITE) and not stat.S_ISLNK(found.st_mode)


def others_swap(folder: os.stat_result) -> bool:
    """Return whether other users may replace the agent's files in a folder."""
    return not is_ours(folder) or (others_write(folder) and not folder.st_mode & stat.S_ISVTX)


def author(found: os.stat_result) -> int | None:
    """Return the user who may have written a file; `None` for root and this process's user."""
    if found.st_mode & stat.S_IWOTH and stat.S_ISREG(found.st_mode):
        return ANYBODY
    return None if is_ours(found) else found.st_uid


def describe_user(user: int) -> str:
    """Describe the owner of a file for a message."""
    return "is writable by any user" if user == ANYBODY else f"belongs to user ID {user}"


def may_read(user: int, descriptor: int) -> bool:
    """Return whether a user could have opened this open file.

    Only the mode counts; access control lists are ignored.
    """
    groups = _groups(user)
    if not _allows(os.fstat(descriptor), user, groups, stat.S_IROTH):
        return False
    file = Path(f"/proc/self/fd/{descriptor}").readlink()
    return all(_allows(one.stat(), user, groups, stat.S_IXOTH) for one in file.parents)


def _allows(found: os.stat_result, user: int, groups: frozenset[int], right: int) -> bool:
    """Return whether the mode grants a permission to a user."""
    if found.st_uid == user:
        return bool(found.st_mode & right << 6)
    if found.st_gid in groups:
        return bool(found.st_mode & right << 3)
    return bool(found.st_mode & right)


def _groups(user: int) -> frozenset[int]:
    try:
        entry = pwd.getpwuid(user)
    except (KeyError, OverflowError):
        return frozenset()
    members = (one.gr_gid for one in grp.getgrall() if entry.pw_name in one.gr_mem)
    return frozenset({entry.pw_gid, *members})
