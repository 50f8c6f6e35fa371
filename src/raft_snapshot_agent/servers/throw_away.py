"""Folders for throw-away servers, which are removed even after a kill."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from raft_snapshot_agent.flock import lock, remove_if_abandoned
from raft_snapshot_agent.private_folder import make_private_folder, private_folder

_PREFIX = ".raft-snapshot-agent-"
_LOCK, _FOLDER = ".drill-lock", ".drill"


@contextmanager
def throw_away_folder(parent: Path) -> Iterator[Path]:
    """Create a temporary folder, removed afterwards; first remove those of killed processes.

    Raises:
        OSError: It cannot be created.
        SpoolError: Another user owns a file or folder of that name.
    """
    parent = make_private_folder(parent)
    _sweep(parent)
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_LOCK, dir=parent)
    claim = Path(name)
    folder = claim.with_name(claim.name.removesuffix(_LOCK) + _FOLDER)
    try:
        lock(descriptor)
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        claim.unlink(missing_ok=True)
        os.close(descriptor)


def sweep_throw_away_folders(parent: Path) -> None:
    """Remove the folders that killed processes left."""
    with suppress(OSError):
        _sweep(private_folder(parent))


def _sweep(parent: Path) -> None:
    for claim in parent.glob(f"{_PREFIX}*{_LOCK}"):
        folder = claim.with_name(claim.name.removesuffix(_LOCK) + _FOLDER)
        if not folder.is_symlink():
            remove_if_abandoned(claim, partial(shutil.rmtree, folder, ignore_errors=True))
