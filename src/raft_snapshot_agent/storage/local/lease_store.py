"""Keeps a lease record on disk, as numbered files that are each created only once."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import RECORD_LIMIT, Record
from raft_snapshot_agent.errors import (
    NotThereYet,
    StorageDenied,
    StorageError,
    StorageUnavailable,
    reason_of,
)
from raft_snapshot_agent.small_file import UnfitFile, read_file
from raft_snapshot_agent.storage.local import atomic_write
from raft_snapshot_agent.threads import in_thread

_KEPT = 20
"""Old records kept, so that a reader still finds one that was just replaced."""
_NUMBERED = re.compile(r"([1-9][0-9]{0,17})\.json")
"""Format of the file names; others, such as `007.json`, are foreign."""
_TRIES = 5
_LEFT_BEHIND = 3600.0
"""Seconds after which a probe folder belongs to a killed proof; a proof takes seconds."""
_LINKLESS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
"""Errors of file systems without hard links; see link(2)."""


class LocalLeaseStore:
    """Compare-and-swap by hard links, which fail if the file exists and need no lock."""

    def __init__(
        self,
        folder: Path,
        name: str,
        access: Callable[[], atomic_write.FileAccess] = atomic_write.FileAccess,
        mounted: Callable[[], None] = lambda: None,
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            folder: Folder of the storage's snapshots.
            name: Name of the record, a subfolder.
            access: Returns owner and mode of the files.
            mounted: Raises while the folder's file system is not mounted.
        """
        self._folder = folder / name
        self._access = access
        self._mounted = mounted

    @property
    def location(self) -> str:
        return str(self._folder)

    async def read(self) -> Versioned | None:
        return await in_thread(self._read, abandon=True)

    async def write(self, record: Record, expected: str | None) -> str | None:
        work = partial(self._write, record.to_json(), int(expected or 0))
        return await in_thread(work, abandon=True)

    async def close(self) -> None:
        """Do nothing: no files are kept open."""

    def probe(self, name: str) -> LocalProbe:
        folder = self._folder
        return LocalProbe(folder.parent, f"{folder.name}-probe-{name}", self._access, self._mounted)

    def _read(self) -> Versioned | None:
        with self._translate_errors("read"):
            for _ in range(_TRIES):
                if not (newest := self._newest()):
                    return None
                with suppress(FileNotFoundError):  # replaced and removed since the listing
                    return Versioned(Record.from_json(self._content(newest)), str(newest))
        raise StorageUnavailable(
            f"the lease record {self._folder} changes faster than it can be read"
        )

    def _content(self, number: int) -> bytes:
        """Read a record; treat a pipe or folder of its name as a damaged record."""
        try:
            return read_file(self._file(number), RECORD_LIMIT, follow=False)
        except UnfitFile:
            return b""

    def _write(self, content: bytes, expected: int) -> str | None:
        with self._translate_errors("write"):
            if not self._folder.is_dir():  # never the storage's own, whose disk may be unmounted
                atomic_write.add_folder(self._folder, self._access())
            if self._is_late(expected) or not self._create(expected + 1, content):
                return None
            if self._newest() != expected + 1:  # others have written newer records
                self._file(expected + 1).unlink(missing_ok=True)
                return None
            self._clean(expected + 1 - _KEPT)
            return str(expected + 1)

    def _is_late(self, expected: int) -> bool:
        return self._newest() != expected

    def _create(self, number: int, content: bytes) -> bool:
        """Write a file and link it under its number; return false if that exists."""
        descriptor, path = tempfile.mkstemp(prefix=f".{number}-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                self._access().grant(file.fileno())
                os.fsync(file.fileno())
            self._link(path, self._file(number))
        except FileExistsError:
            return False
        finally:
            Path(path).unlink(missing_ok=True)
        atomic_write.sync_folder(self._folder)
        return True

    def _link(self, path: str, target: Path) -> None:
        try:
            os.link(path, target)
        except OSError as error:
            if error.errno not in _LINKLESS:
                raise
            raise StorageError(
                f"cannot write the lease record {self._folder}: the file system makes no hard"
                f" links ({error.strerror})",
                hint="keep it on another file system",
            ) from error

    def _clean(self, last: int) -> None:
        """Remove records up to a number, and leftovers of dead agents."""
        for path in self._folder.iterdir():
            number = path.name.lstrip(".").split("-")[0].removesuffix(".json")
            if number.isdecimal() and int(number) <= last:
                with suppress(OSError):  # for example a folder of that name
                    path.unlink()

    def _newest(self) -> int:
        """Return the highest number; 0 without records.

        Raises:
            NotThereYet: The folder of the storage does not exist.
        """
        try:
            found = (_NUMBERED.fullmatch(path.name) for path in self._folder.iterdir())
            return max((int(one[1]) for one in found if one is not None), default=0)
        except FileNotFoundError as error:
            if self._folder.parent.is_dir():
                return 0
            why = f"{self._folder.parent} does not exist"
            raise NotThereYet(
                f"cannot read the lease record {self._folder}: {why}",
                hint="the start of the daemon creates it, or mount what belongs there",
            ) from error

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    @contextlib.contextmanager
    def _translate_errors(self, doing: str) -> Iterator[None]:
        try:
            self._mounted()
            yield
        except OSError as error:
            denied = error.errno in {errno.EACCES, errno.EPERM}
            raise (StorageDenied if denied else StorageUnavailable)(
                f"cannot {doing} the lease record {self._folder}: {reason_of(error)}",
                hint="check the disk, and that the agent's user may write there",
            ) from error


class LocalProbe(LocalLeaseStore):
    """A test record in a separate folder."""

    async def delete(self) -> None:
        await in_thread(self._delete, abandon=True)

    async def sweep(self) -> None:
        await in_thread(self._sweep, abandon=True)

    def _is_late(self, expected: int) -> bool:
        # No early check: the proof must show that the link itself does not replace a file.
        return bool(expected) and not self._newest()

    def _delete(self) -> None:
        with self._translate_errors("delete"), suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _sweep(self) -> None:
        with self._translate_errors("sweep"):
            probes = self._folder.parent.glob(f"{self._folder.name.rpartition('-')[0]}-*")
            aged = [(path, path.stat().st_mtime) for path in probes]
            newest = max((written for _, written in aged), default=0.0)
            for path, written in aged:  # by the file system's own clock
                if newest - written >= _LEFT_BEHIND:
                    shutil.rmtree(path, ignore_errors=True)
