"""The folder of the socket through which a running daemon is asked on its host."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from raft_snapshot_agent.private_folder import is_private

_NAME = "raft-snapshot-agent"
_RUN = Path("/run") / _NAME
"""The folder that the systemd unit creates; root looks there, too."""
_LOOKED_AT = 1000
_YOUNG = 60.0
"""Seconds after which a socket counts as dead: a starting daemon may not listen yet."""


def socket_name(source: Path | None) -> str:
    """Return the name of a daemon's socket: one for each configuration file.

    Arguments:
        source: The file; empty: the daemon is configured by the environment alone.
    """
    # A link to the file is not resolved: that of Kubernetes leads elsewhere after each change.
    text = "" if source is None else str(source.absolute().parent.resolve() / source.name)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.sock"


def make_runtime_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for a daemon's socket, and create it if it is missing.

    Raises:
        OSError: It cannot be created, or others may write to it.
    """
    folder = next(_folders(environ))
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_private(folder):
        raise PermissionError(f"others may write to {folder}, or own it")
    return folder


def find_sockets(environ: Mapping[str, str], name: str) -> list[Path]:
    """List possible paths of a daemon's socket, except where other users could create one."""
    found = []
    for folder in _folders(environ):
        with suppress(OSError):
            trusted = is_private(folder) or (folder == _RUN and os.geteuid() == 0)
            if trusted and stat.S_ISSOCK((folder / name).lstat().st_mode):
                found.append(folder / name)
    return found


def remove_dead_sockets(folder: Path) -> None:
    """Remove the sockets of killed daemons, on which no process listens."""
    for path in islice(folder.glob("*.sock"), _LOOKED_AT):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _YOUNG and _is_dead(path):
                path.unlink()


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if given := environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        yield Path(given)
    if os.access(_RUN, os.W_OK):
        yield _RUN
    if user := environ.get("XDG_RUNTIME_DIR"):
        yield Path(user) / _NAME
    # Not in TMPDIR, which may differ between the daemon and `status`.
    yield Path("/tmp") / f"{_NAME}-{os.geteuid()}"  # noqa: S108 - private, or it is not used
