"""The local file into which a snapshot is downloaded, read while it grows.

One thread writes. A verifier reads what has arrived. Any number of followers read it, too; they
reach the end only after the verifier has accepted the snapshot, and fail if it is rejected.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import AgentError, SpoolError, Stopped, reason_of
from raft_snapshot_agent.flock import link_open, lock
from raft_snapshot_agent.host_limits import FILE_SIZE_HINT
from raft_snapshot_agent.private_folder import make_private_folder

PREFIX = ".raft-snapshot-agent-"
SUFFIX = ".spool"
_ANNOUNCE_EVERY = 1 << 20
"""Bytes between two wake-ups of the followers; frequent wake-ups cost more than the reads."""
_TRIES, _SWEPT_AFTER = 100, 0.01
"""Attempts, and seconds between them, to create a spool that another agent's sweep removed."""
_MOST_PIECES = os.sysconf("SC_IOV_MAX")


class Spool:
    """A growing file with many readers, which is accepted or fails as a whole.

    The file is locked (flock) while it is open, so that a sweep can distinguish the spool of a
    running agent from a leftover.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._changed = threading.Condition()
        self._users = 0
        self._closed = False
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._written = 0
        self._readable = 0
        self._handed_out = 0
        self._only_link = threading.Lock()
        self._complete = False
        self._meta: ArchiveMeta | None = None
        self._snapshot: Snapshot | None = None
        self._error: AgentError | None = None

    @classmethod
    def create(cls, folder: Path, run_id: str) -> Self:
        """Create an empty spool, mode 0600, in `folder`, if that is shared in a private subfolder.

        Raises:
            SpoolError: The folder does not exist or cannot be written.
        """
        try:
            path = make_private_folder(folder) / f"{PREFIX}{run_id}{SUFFIX}"
            for _ in range(_TRIES):
                if (descriptor := _create(path)) is not None:
                    return cls(path, descriptor)
                time.sleep(_SWEPT_AFTER)
        except OSError as error:
            raise _describe_failure(folder, error) from error
        raise SpoolError(f"another process removed the spool {path} repeatedly")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file; remaining followers fail."""
        self.fail(Stopped("the spool was closed"))
        with suppress(OSError):  # a disk that fails now: a later sweep removes it
            self._path.unlink(missing_ok=True)
        with self._changed:
            self._closed = True
            # An abandoned thread could use the descriptor's number after it was reused.
            self._changed.wait_for(lambda: not self._users)
        self._file.close()

    # The writer's side.

    def write(self, chunk: bytes) -> None:
        """Append a chunk of the download.

        Small chunks are collected to reduce writes and wake-ups. The first is written at once, as
        it contains `meta.json`.

        Raises:
            SpoolError: The disk is full or failed.
            AgentError: `fail` was called.
        """
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _ANNOUNCE_EVERY or not self._written:
            self._flush()
        if self._error is not None:
            raise self._error

    def complete(self) -> None:
        """Mark the end of the download; the verifier still has to accept it.

        Raises:
            SpoolError: The disk is full or failed.
        """
        self._flush()
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def _flush(self) -> None:
        gathered, size = self._pending, self._pending_size
        self._pending, self._pending_size = [], 0
        with self._use_file() as descriptor:
            _write_all(descriptor, gathered)
        self._written += size
        with self._changed:
            self._readable = self._written
            self._changed.notify_all()

    # The verifier's side.

    def wait_for_bytes(self, position: int) -> int:
        """Wait like `follow`, but end with the download, verified or not."""
        return self._wait(position, lambda: self._complete)

    def announce(self, meta: ArchiveMeta) -> None:
        """Publish `meta.json` as soon as it has arrived."""
        with self._changed:
            self._meta = meta
            self._changed.notify_all()

    def accept(self, snapshot: Snapshot) -> None:
        """Accept the snapshot: followers can reach the end."""
        with self._changed:
            self._snapshot = snapshot
            self._changed.notify_all()

    def fail(self, error: AgentError) -> None:
        """Make all readers and the writer fail; only the first verdict counts."""
        with self._changed:
            if self._snapshot is None and self._error is None:
                self._error = error
            self._changed.notify_all()

    # The followers' side.

    @property
    def path(self) -> Path:
        """The file's path until it is closed."""
        return self._path

    @property
    def error(self) -> AgentError | None:
        """Why the snapshot failed, if it failed."""
        return self._error

    @property
    def received(self) -> int:
        """Bytes received so far."""
        return self._readable

    @property
    def moved(self) -> int:
        """A number that grows with every write and read."""
        return self._readable + self._handed_out

    def meta(self) -> ArchiveMeta:
        """Wait for `meta.json`; block the calling thread."""
        self._wait_until(lambda: self._meta is not None)
        assert self._meta is not None  # noqa: S101 - the wait ended without an error
        return self._meta

    def verdict(self) -> Snapshot:
        """Wait for the verdict; block the calling thread."""
        self._wait_until(lambda: self._snapshot is not None)
        assert self._snapshot is not None  # noqa: S101 - the wait ended without an error
        return self._snapshot

    def link(self, target: Path) -> bool:
        """Create a hard link to the growing file; return false where links are not supported.

        Only the first caller keeps its link: two storages with one file would lose both copies
        with it. The link is to the open file, even if its path now names another file.
        """
        with self._lend_file() as descriptor:
            if self._only_link.locked() or not link_open(descriptor, target):
                return False
        if self._only_link.acquire(blocking=False):
            return True
        target.unlink()
        return False

    def follow(self, position: int) -> int:
        """Wait until the file is longer than `position` bytes; block the calling thread.

        Returns:
            The length that may be read now; `position` itself at the end of a verified snapshot.

        Raises:
            AgentError: The snapshot failed.
        """
        return self._wait(position, lambda: self._snapshot is not None)

    def read(self, position: int, size: int) -> bytes:
        """Read at most `size` bytes from `position`, waiting like `follow`; empty at the end."""
        available = self.follow(position) - position
        with self._use_file() as descriptor:
            piece = os.pread(descriptor, min(size, available), position)
        if available and not piece:
            raise self._cut_off()
        self._handed_out += len(piece)
        return piece

    def peek(self, position: int, buffer: bytearray) -> int:
        """Fill `buffer` from `position` with bytes that are available, without waiting."""
        with self._use_file() as descriptor:
            filled = os.preadv(descriptor, [buffer], position)
        if not filled:
            raise self._cut_off()
        return filled

    def _cut_off(self) -> SpoolError:
        return SpoolError(f"the spool {self._path} became shorter", hint="was it changed by hand?")

    @contextmanager
    def _use_file(self) -> Iterator[int]:
        """Lend the file; raise a failure of the disk as an error of the spool."""
        try:
            with self._lend_file() as descriptor:
                yield descriptor
        except OSError as error:
            raise _describe_failure(self._path.parent, error) from error

    @contextmanager
    def _lend_file(self) -> Iterator[int]:
        """Return the open file and keep it from being closed while it is in use."""
        with self._changed:
            if self._closed:
                raise self._error or Stopped("the spool was closed")
            self._users += 1
        try:
            yield self._file.fileno()
        finally:
            with self._changed:
                self._users -= 1
                if self._closed:
                    self._changed.notify_all()

    def _wait(self, position: int, ended: Callable[[], bool]) -> int:
        self._wait_until(lambda: self._readable > position or ended())
        return self._readable

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or ready())
            if self._error is not None:
                raise self._error


def _create(path: Path) -> int | None:
    """Create and lock a file; return `None` if another agent's sweep removed it in between."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return None  # the sweep has not removed it yet
    if lock(descriptor) and os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def _write_all(descriptor: int, gathered: list[bytes]) -> None:
    for start in range(0, len(gathered), _MOST_PIECES):
        pieces = gathered[start : start + _MOST_PIECES]
        done = os.writev(descriptor, pieces)
        # disk full or interrupted by a signal: write again to get the error
        if done < sum(map(len, pieces)):
            rest = memoryview(b"".join(pieces))[done:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def _describe_failure(folder: Path, error: OSError) -> SpoolError:
    hint = "set spool or TMPDIR to a folder that the agent's user may write to"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free some space there, or set spool or TMPDIR to a folder on a larger disk"
    if error.errno == errno.EFBIG:
        hint = FILE_SIZE_HINT
    return SpoolError(f"cannot spool the snapshot in {folder}: {reason_of(error)}", hint=hint)
