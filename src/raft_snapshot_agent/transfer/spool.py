"""The local file a snapshot streams into, followed while it grows.

One thread writes. A verifier reads what has arrived; any number of followers read too, but their
end is held back until the verifier accepted the snapshot, and they fail when it did not.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import AgentError, SpoolError, Stopped, reason_of
from raft_snapshot_agent.flock import link_open, lock, remove_if_abandoned
from raft_snapshot_agent.private_folder import make_private_folder, private_folder

_PREFIX = ".raft-snapshot-agent-"
_SUFFIX = ".spool"
_ANNOUNCE_EVERY = 1 << 20
"""Bytes between two wake-ups of the followers: fewer hand-overs cost less than the bytes."""
_TRIES, _SWEPT_AFTER = 100, 0.01
"""How often, and in seconds how soon, a spool is made again that a sweep took for a dead one's."""
_MOST_PIECES = os.sysconf("SC_IOV_MAX")


class Spool:
    """A growing file with many readers and one verdict.

    The file is locked (flock) for as long as it is open: that is how `sweep` tells the spool of a
    living agent from the leftover of a dead one.
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
        self._complete = False
        self._meta: ArchiveMeta | None = None
        self._snapshot: Snapshot | None = None
        self._error: AgentError | None = None

    @classmethod
    def create(cls, folder: Path, run_id: str) -> Self:
        """Make an empty spool, mode 0600, in `folder`, or in one of our own if that is shared.

        Raises:
            SpoolError: The folder does not exist or cannot be written.
        """
        try:
            path = make_private_folder(folder) / f"{_PREFIX}{run_id}{_SUFFIX}"
            for _ in range(_TRIES):
                if (descriptor := _create(path)) is not None:
                    return cls(path, descriptor)
                time.sleep(_SWEPT_AFTER)
        except OSError as error:
            raise _describe_failure(folder, error) from error
        raise SpoolError(f"the spool {path} is removed by others again and again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file; whoever still follows fails."""
        self.fail(Stopped("the spool was closed"))
        self._path.unlink(missing_ok=True)
        with self._changed:
            self._closed = True
            # An abandoned thread could hit whatever the file's number is used for next.
            self._changed.wait_for(lambda: not self._users)
        self._file.close()

    # The writer's side.

    def write(self, chunk: bytes) -> None:
        """Append what the server sent.

        Small chunks are gathered, so that the disk and the followers are bothered seldom; the
        first goes through at once, for it holds `meta.json`.

        Raises:
            SpoolError: The disk is full or failed.
            AgentError: Somebody called `fail`.
        """
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _ANNOUNCE_EVERY or not self._written:
            self._flush()
        if self._error is not None:
            raise self._error

    def complete(self) -> None:
        """Tell that the stream ended; whether it ended well is the verifier's to say.

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
        try:
            with self._lend_file() as descriptor:
                _write_all(descriptor, gathered)
        except OSError as error:
            raise _describe_failure(self._path.parent, error) from error
        self._written += size
        with self._changed:
            self._readable = self._written
            self._changed.notify_all()

    # The verifier's side.

    def wait_for_bytes(self, position: int) -> int:
        """Wait like `follow`, but end where the stream ended, verified or not."""
        return self._wait(position, lambda: self._complete)

    def announce(self, meta: ArchiveMeta) -> None:
        """Tell what `meta.json` says, as soon as it has arrived."""
        with self._changed:
            self._meta = meta
            self._changed.notify_all()

    def accept(self, snapshot: Snapshot) -> None:
        """Let the followers reach their end."""
        with self._changed:
            self._snapshot = snapshot
            self._changed.notify_all()

    def fail(self, error: AgentError) -> None:
        """Fail everybody, the writer included; the first verdict stands."""
        with self._changed:
            if self._snapshot is None and self._error is None:
                self._error = error
            self._changed.notify_all()

    # The followers' side.

    @property
    def path(self) -> Path:
        """Where the file lies until it is closed."""
        return self._path

    @property
    def error(self) -> AgentError | None:
        """Why the snapshot failed, if it did."""
        return self._error

    @property
    def received(self) -> int:
        """Bytes that have arrived so far."""
        return self._readable

    @property
    def moved(self) -> int:
        """A number that grows while anything arrives or is handed on."""
        return self._readable + self._handed_out

    def meta(self) -> ArchiveMeta:
        """Wait for what `meta.json` says; block the calling thread."""
        self._wait_until(lambda: self._meta is not None)
        assert self._meta is not None  # noqa: S101 - _until came back without an error
        return self._meta

    def verdict(self) -> Snapshot:
        """Wait until the snapshot was verified; block the calling thread."""
        self._wait_until(lambda: self._snapshot is not None)
        assert self._snapshot is not None  # noqa: S101 - _until came back without an error
        return self._snapshot

    def link(self, target: Path) -> bool:
        """Give the growing file a second name; false where the file system cannot.

        It is the open file that gets it, not whatever has taken its first name since.
        """
        with self._lend_file() as descriptor:
            return link_open(descriptor, target)

    def follow(self, position: int) -> int:
        """Wait until the file is longer than `position` bytes; block the calling thread.

        Returns:
            The length that may be read now, or `position` itself at the verified end.

        Raises:
            AgentError: The snapshot failed.
        """
        return self._wait(position, lambda: self._snapshot is not None)

    def read(self, position: int, size: int) -> bytes:
        """Read at most `size` bytes from `position`, waiting like `follow`; empty at the end."""
        available = self.follow(position) - position
        self._handed_out += available
        try:
            with self._lend_file() as descriptor:
                return os.pread(descriptor, min(size, available), position)
        except OSError as error:
            raise _describe_failure(self._path.parent, error) from error

    def peek(self, position: int, buffer: bytearray) -> int:
        """Fill `buffer` from `position` with what has arrived, without waiting."""
        try:
            with self._lend_file() as descriptor:
                return os.preadv(descriptor, [buffer], position)
        except OSError as error:
            raise _describe_failure(self._path.parent, error) from error

    @contextmanager
    def _lend_file(self) -> Iterator[int]:
        """Lend the open file out; it is not closed meanwhile."""
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


def sweep(folder: Path) -> frozenset[str]:
    """Remove the spools of dead agents; return the run IDs they belonged to."""
    dead = set()
    with suppress(FileNotFoundError):
        folder = private_folder(folder)
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):  # what stays in the way there, the next spool will tell
            if remove_if_abandoned(path):
                dead.add(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX))
    return frozenset(dead)


def _create(path: Path) -> int | None:
    """Make and lock a file; nothing where another agent's sweep came in between and removes it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return None  # it is not removed yet
    if lock(descriptor) and os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def _write_all(descriptor: int, gathered: list[bytes]) -> None:
    for start in range(0, len(gathered), _MOST_PIECES):
        pieces = gathered[start : start + _MOST_PIECES]
        done = os.writev(descriptor, pieces)
        if done < sum(map(len, pieces)):  # the disk is full, or a signal came: ask again for why
            rest = memoryview(b"".join(pieces))[done:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def _describe_failure(folder: Path, error: OSError) -> SpoolError:
    hint = "set spool to a folder that the agent's user may write to"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        hint = "free some space there or set spool to a folder on a larger disk"
    why = f"cannot spool the snapshot in {folder}: {reason_of(error)}"
    return SpoolError(why, hint=hint)
