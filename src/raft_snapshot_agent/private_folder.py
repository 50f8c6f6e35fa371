"""A folder in which no other user can create files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from raft_snapshot_agent.errors import SpoolError
from raft_snapshot_agent.ownership import is_ours, others_write


def private_folder(folder: Path) -> Path:
    """Return `folder`, or the agent's own subfolder if other users may write to `folder`.

    In a shared folder such as `/var/tmp` any user can create a link, a pipe, or a file with the
    name of a running agent's spool. This creates nothing: see `make_private_folder`.
    """
    return folder if is_private(folder) else folder / f"raft-snapshot-agent-{os.geteuid()}"


def is_private(folder: Path) -> bool:
    """Return whether only this user and root may write to a folder.

    Raises:
        OSError: Its status cannot be read.
    """
    found = folder.stat()
    return is_ours(found) and not others_write(found)


def make_private_folder(folder: Path) -> Path:
    """Return the same folder, and create it if it is missing.

    Raises:
        SpoolError: It is not a folder of this user, or every user could replace it.
        OSError: It cannot be created.
    """
    own = private_folder(folder)
    if own == folder:
        return folder
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise SpoolError(
            f"every user can replace the folder {own}",
            hint=f"chmod +t {folder}, as /tmp has it, or set spool or TMPDIR to another folder",
        )
    own.mkdir(mode=0o700, exist_ok=True)
    _close_to_others(own, folder)
    return own


def _close_to_others(own: Path, folder: Path) -> None:
    """Remove all permissions of other users on the agent's own folder."""
    try:
        descriptor = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EACCES}:
            raise _not_ours(own, folder) from None
        raise
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise _not_ours(own, folder)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _not_ours(own: Path, folder: Path) -> SpoolError:
    return SpoolError(
        f"{own} is not a folder of this agent's user",
        hint=f"others may write to {folder}: remove it, or set spool or TMPDIR to another folder",
    )
