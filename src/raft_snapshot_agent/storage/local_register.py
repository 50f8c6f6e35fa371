"""A lease's record on a disk, as numbered files of which each is created once."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from raft_snapshot_agent.core.lease import Record, Versioned
from raft_snapshot_agent.errors import StorageUnavailable, reason_of
from raft_snapshot_agent.storage import durable
from raft_snapshot_agent.threads import in_thread

_KEPT = 20
"""Old records, so that who reads one that is just replaced still finds it."""
_TRIES = 5


class LocalRegister:
    """Compare-and-swap by links, which fail where there is a file; no lock outlives a crash."""

    def __init__(
        self,
        folder: Path,
        name: str,
        access: Callable[[], durable.Access] = durable.Access,
        mounted: Callable[[], None] = lambda: None,
    ) -> None:
        """Name the folder; nothing is touched.

        Arguments:
            folder: Where the storage's snapshots lie.
            name: Of the record: a folder below that one.
            access: Tells whose the files become.
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
        """Do nothing: files are closed where they are used."""

    def _read(self) -> Versioned | None:
        with self._explained("read"):
            for _ in range(_TRIES):
                if not (newest := self._newest()):
                    return None
                with suppress(FileNotFoundError):  # many were written since it was listed
                    return Versioned(Record.from_json(self._file(newest).read_bytes()), str(newest))
        raise StorageUnavailable(f"the lease {self._folder} changes faster than it can be read")

    def _write(self, content: bytes, expected: int) -> str | None:
        with self._explained("write"):
            durable.make_folder(self._folder, self._access())
            if self._newest() != expected or not self._created(expected + 1, content):
                return None
            if self._newest() != expected + 1:  # others went on meanwhile, and cleaned up
                self._file(expected + 1).unlink(missing_ok=True)
                return None
            self._clean(expected + 1 - _KEPT)
            return str(expected + 1)

    def _created(self, number: int, content: bytes) -> bool:
        """Give a file that is on the disk its number, unless there is one."""
        descriptor, path = tempfile.mkstemp(prefix=f".{number}-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                self._access().grant(file.fileno())
                os.fsync(file.fileno())
            os.link(path, self._file(number))
        except FileExistsError:
            return False
        finally:
            Path(path).unlink()
        durable.sync_folder(self._folder)
        return True

    def _clean(self, last: int) -> None:
        """Remove records up to a number, and what agents that died left of theirs."""
        for path in self._folder.iterdir():
            number = path.name.lstrip(".").split("-")[0].removesuffix(".json")
            if number.isdecimal() and int(number) <= last:
                path.unlink(missing_ok=True)

    def _newest(self) -> int:
        """Find the highest number; 0 where there is none."""
        with suppress(FileNotFoundError):
            names = (path.name.removesuffix(".json") for path in self._folder.iterdir())
            return max((int(name) for name in names if name.isdecimal()), default=0)
        return 0

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            self._mounted()
            yield
        except OSError as error:
            raise StorageUnavailable(
                f"cannot {doing} the lease {self._folder}: {reason_of(error)}",
                hint="check the disk, and that the agent's user may write there",
            ) from error
