"""Converts errors of the file system to one-line errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from raft_snapshot_agent.errors import (
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
    reason_of,
)
from raft_snapshot_agent.host_limits import FILE_SIZE_HINT
from raft_snapshot_agent.storage.local.atomic_write import FULL
from raft_snapshot_agent.storage.names import folder_in_the_way

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT}
# Without EIO: after a failed fsync the kernel marks the pages as clean, so that another fsync would
# wrongly report success.
_PASSING = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EBUSY}
_IN_THE_WAY = "a file is there: set path to a folder"
_KEPT = "likely the file or its folder is immutable or another user's: see lsattr and ls -l"


def failure(doing: str, folder: Path, error: OSError) -> StorageError:
    """Return the error for a failed operation."""
    failed = f"cannot {doing} in {folder}"
    if error.errno == errno.EISDIR:
        return folder_in_the_way(failed)
    message = f"{failed}: {reason_of(error)}"
    if error.errno in FULL:
        return StorageFull(message, hint=denied_hint(error))
    if error.errno == errno.EFBIG:
        return StorageFull(message, hint=FILE_SIZE_HINT)
    if error.errno in _DENIED:
        hint = _KEPT if error.errno == errno.EPERM and doing.startswith("delete") else None
        return StorageDenied(message, hint=hint or denied_hint(error))
    if error.errno == errno.ENOTDIR:
        return StorageError(message, hint=_IN_THE_WAY)
    if error.errno in _MISSING:
        return StorageError(message, hint=denied_hint(error))
    if error.errno in _PASSING:
        return StorageUnavailable(message, hint="check that the file system is mounted and answers")
    return StorageError(message, hint="likely the disk: look in the kernel's log")


def denied_hint(error: OSError) -> str:
    """Return the hint for a folder that cannot be written."""
    if error.errno in FULL:
        return "free some space or inodes there, or keep fewer snapshots"
    if error.errno == errno.ENOTDIR:
        return _IN_THE_WAY
    if error.errno in _MISSING:
        return "create the folder, or mount what belongs there"
    if error.errno == errno.EROFS:
        return "look in the kernel's log for why it became read-only, then mount it read-write"
    hint = f"it must belong to the agent's user (uid {os.geteuid()})"
    if error.errno == errno.EPERM:
        hint += "; to give files to an owner or group of others needs root or CAP_CHOWN"
    return hint
