"""Checks that a folder's file system is mounted, and not only its empty mount point there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_FSTAB = Path("/etc/fstab")
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_ROOT = Path("/")


def missing_mount(path: Path, required: Path | None = None) -> Path | None:
    """Return the folder above or at `path` that should be a mount point and is not.

    Arguments:
        path: The folder.
        required: Required mount point. By default the nearest folder, upwards from `path`, that is
            a mount point or one according to `/etc/fstab`.

    Returns:
        The missing mount point; `None` if there is none.
    """
    with suppress(OSError):  # triggers an automounter
        os.stat(path / ".")  # noqa: PTH116 - pathlib would remove the dot
    mounted = set(_column(_MOUNTS, 4))
    if required is not None:
        return None if required.resolve() in mounted else required
    wanted = mounted | set(_column(_FSTAB, 1))
    found = next((folder for folder in _upwards(path) if folder in wanted), path)
    return None if found in mounted else found


def _upwards(path: Path) -> Iterator[Path]:
    resolved = path.resolve()
    yield from (folder for folder in (resolved, *resolved.parents) if folder != _ROOT)


def _column(table: Path, number: int) -> Iterable[Path]:
    """Read the mount points of a table. Source: proc(5) and fstab(5)."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > number and not fields[0].startswith("#"):
            yield Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[number]))
