"""Writing a file so that it is there complete, on the disk, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.claims import remove_if_abandoned
from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.storage.base import Source

_STEP = 2 << 20
_FLUSH_EVERY = 32 << 20
"""Bytes between two flushes while the file still grows: the last one is short then."""


@dataclass(frozen=True, slots=True)
class _Partial:
    """A temporary file, locked for as long as its writer lives."""

    path: Path
    descriptor: int
    linked: bool
    """It is the source's own file under a second name: nothing is copied."""


def write(source: Source, target: Path) -> int:
    """Follow `source` into a hidden file, and give that its name once it is on the disk.

    Returns:
        Bytes written.

    Raises:
        AgentError: The source failed; nothing stays.
        OSError: The disk did; nothing stays.
    """
    with _partial(source, partial_path(target)) as partial:
        steps = _growth(source) if partial.linked else _copy(source, partial.descriptor)
        flushed = 0
        for size in steps:
            if size - flushed >= _FLUSH_EVERY:
                os.fdatasync(partial.descriptor)
                flushed = size
        os.fsync(partial.descriptor)
        partial.path.rename(target)
        sync_folder(target.parent)
        return os.fstat(partial.descriptor).st_size


def partial_path(target: Path) -> Path:
    """Name the hidden file that becomes `target`."""
    return target.with_name(f".{target.name}.partial")


def partial_of(name: str) -> str | None:
    """Tell which name a hidden file was to get; `None` where it is none of ours."""
    if name.startswith(".") and name.endswith(".partial"):
        return name[1:].removesuffix(".partial")
    return None


def sync_folder(folder: Path) -> None:
    """Bring a folder's new, changed and removed names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, mode 0700, and those above it that are missing."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


@contextlib.contextmanager
def _partial(source: Source, path: Path) -> Iterator[_Partial]:
    partial = _claim(source, path)
    try:
        yield partial
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(partial.descriptor)


def _claim(source: Source, path: Path) -> _Partial:
    try:
        return _begin(source, path)
    except FileExistsError:
        if not remove_if_abandoned(path):
            raise StorageUnavailable(f"{path} is being written by another process") from None
    return _begin(source, path)


def _begin(source: Source, path: Path) -> _Partial:
    if source.link(path):  # under the lock of the source
        return _Partial(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), linked=True)
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return _Partial(path, descriptor, linked=False)
        os.close(descriptor)  # another agent's sweep came in between


def _growth(source: Source) -> Iterator[int]:
    position = 0
    while (available := source.follow(position)) > position:
        yield (position := available)


def _copy(source: Source, descriptor: int) -> Iterator[int]:
    position = 0
    while piece := source.read(position, _STEP):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
        yield (position := position + len(piece))
