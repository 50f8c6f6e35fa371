"""Who could have written a file, and what that user could read.

A configuration may name files whose content is sent away. One that another user wrote must not
make a process with more rights read what that user could not.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

ANYBODY = -1
"""The user ID of nobody in particular: with the rights that every user has."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(found: os.stat_result) -> bool:
    """Return whether a file or folder belongs to this process's user or to root."""
    return found.st_uid in {0, os.geteuid()}


def others_write(found: os.stat_result) -> bool:
    """Return whether its mode lets others than its owner write to it."""
    return bool(found.st_mode & _OTHERS_WRITE) and not stat.S_ISLNK(found.st_mode)


def others_swap(folder: os.stat_result) -> bool:
    """Return whether others may put another file in the place of one of ours in a folder."""
    return not is_ours(folder) or (others_write(folder) and not folder.st_mode & stat.S_ISVTX)


def author(found: os.stat_result) -> int | None:
    """Return the user that a file speaks for; none where that is root or this process's user."""
    if found.st_mode & stat.S_IWOTH and stat.S_ISREG(found.st_mode):
        return ANYBODY
    return None if is_ours(found) else found.st_uid


def describe_user(user: int) -> str:
    """Return a user as named in messages."""
    return "is anybody's" if user == ANYBODY else f"belongs to user ID {user}"


def may_read(user: int, descriptor: int) -> bool:
    """Return whether a user could have opened the file that is open here.

    Lists of access rights beyond the mode are not looked at.
    """
    groups = _groups(user)
    if not _allows(os.fstat(descriptor), user, groups, stat.S_IROTH):
        return False
    file = Path(f"/proc/self/fd/{descriptor}").readlink()
    return all(_allows(one.stat(), user, groups, stat.S_IXOTH) for one in file.parents)


def _allows(found: os.stat_result, user: int, groups: frozenset[int], right: int) -> bool:
    """Return whether the mode grants a right to others."""
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
