"""A folder that no other user can plant files in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from raft_snapshot_agent.errors import SpoolError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(folder: Path) -> Path:
    """Return `folder`, or one of our own in it where other users may write to it.

    In a shared folder such as `/var/tmp` anybody can lay a link, a pipe, or a file with the name
    of a living agent's spool. Nothing is made here: see `make_private_folder`.
    """
    found = folder.stat()
    if found.st_uid in {0, os.geteuid()} and not found.st_mode & _OTHERS_WRITE:
        return folder
    return folder / f"raft-snapshot-agent-{os.geteuid()}"


def make_private_folder(folder: Path) -> Path:
    """Return the same, and make it if it is missing.

    Raises:
        SpoolError: Something else has its name.
        OSError: It cannot be made.
    """
    own = private_folder(folder)
    if own == folder:
        return folder
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SpoolError(
            f"{own} is not a folder of this agent's user",
            hint=f"others may write to {folder}: remove it, or set spool to another folder",
        )
    own.chmod(0o700)
    return own
