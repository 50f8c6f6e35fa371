"""Sources of existing snapshots: a storage, a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Protocol

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import NOT_COUNTED, Manifest, Snapshot, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.verification import Copy, Expected, Reading
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    Stopped,
)
from raft_snapshot_agent.small_file import is_regular, read_file
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool

_STEP = 1 << 20
_APART = 86400
"""Maximum difference in seconds between name and server time of one chosen by its date."""
_DESCRIBED = "described by an unsigned manifest, which anyone with write access could have written"
_NAMED = "described only by its name"
_UNDESCRIBED = "none, no manifest describes it"


class SnapshotReader(Protocol):
    """A snapshot that can be read from its beginning."""

    @property
    def label(self) -> str:
        """Where it is read."""

    @property
    def name(self) -> str:
        """Its name, without where it is."""

    def read(self) -> AsyncIterator[bytes]: ...

    async def expected(self) -> Expected:
        """Return what is known about it before it is read."""

    def again(self) -> SnapshotReader | None:
        """Open it for an independent second reading; `None` if that is impossible."""

    async def describe_proof(self) -> str:
        """Describe how its origin is proved, or why that is not known."""

    def confirm(self, snapshot: Snapshot) -> None:
        """Compare its archive with what it was chosen for: a time, or a SHA-256.

        Raises:
            MismatchedSnapshot: They do not match.
        """

    async def remember(self, verdict: Reading) -> None:
        """Store a verdict on it, if its source supports that.

        Raises:
            StorageError: The note cannot be written.
        """


@dataclass(frozen=True, slots=True)
class StoredReader:
    """A snapshot in one of the storages."""

    destination: Destination
    stored: Stored
    is_second: bool = False
    by_date: bool = False
    """Whether it was chosen by its date, which its archive must then confirm."""
    elsewhere: tuple[Destination, ...] = ()
    """The other storages, which may have a copy of it."""
    sha256: str = ""
    """Its SHA-256 by the manifest of another copy, which its archive must then confirm."""

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def label(self) -> str:
        return self.destination.storage.location(self.stored.name)

    def read(self) -> AsyncIterator[bytes]:
        return self._copy.read()

    async def expected(self) -> Expected:
        return await self._copy.expected()

    def again(self) -> StoredReader:
        return replace(self, is_second=True)

    async def describe_proof(self) -> str:
        try:
            judged = await self._judge()
        except AgentError as error:  # no reason to give up a snapshot that is verified
            return f"not known: {error.message}"
        if judged.signed:
            return "signed with the agents' key"
        told = judged.doubt.removesuffix(NOT_COUNTED)
        known = told or (_DESCRIBED if judged.verified else _NAMED)
        unsigned = self.destination.signing is not None and not told
        return f"unsigned; {known}" if unsigned else known

    def confirm(self, snapshot: Snapshot) -> None:
        if self.sha256 not in {"", snapshot.sha256}:
            raise MismatchedSnapshot(
                "it is whole, but not the snapshot that the manifest of the first copy describes:"
                f" SHA-256 {snapshot.sha256[:12]}... instead of {self.sha256[:12]}...",
                hint="do not trust it unless you know by whom it was stored",
            )
        written_at = snapshot.meta.written_at
        if not self.by_date or written_at is None or not self.stored.dated:
            return
        if abs(written_at - self.stored.taken_at.timestamp()) > _APART:
            raise MismatchedSnapshot(
                f"its server wrote it {_format_time(written_at)}, and its name tells another day",
                hint="it may be an old one under a new name; to use it all the same, give its name",
            )

    async def remember(self, verdict: Reading) -> None:
        await self.destination.verdicts.remember(self.stored, verdict, datetime.now(UTC))

    async def _judge(self) -> Stored:
        """Judge it by its manifest, and by which unsigned ones are from before there was a key."""
        if self.destination.static_name is not None:
            return self.stored
        proofs, listed = self.destination.proofs, await self.destination.stored()
        (judged,) = await proofs.worth(await proofs.judge(listed), [self.stored])
        return judged

    @property
    def _copy(self) -> Copy:
        return self.destination.verdicts.copy(self.stored, anew=self.is_second)


@dataclass(frozen=True, slots=True)
class FileReader:
    """A snapshot in a file, or on standard input."""

    path: Path | None

    @property
    def label(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        return self.label if self.path is None else self.path.name

    async def read(self) -> AsyncIterator[bytes]:
        # Abandonable: a terminal or a pipe that nobody writes to must not block Ctrl-C.
        file = await in_thread(self._open, abandon=True, discard=lambda one: one.close())
        try:
            while chunk := await in_thread(partial(file.read, _STEP), abandon=True):
                yield chunk
        except OSError as error:
            raise AgentError(f"cannot read {self.label}: {error.strerror}") from error
        finally:
            file.close()

    async def expected(self) -> Expected:
        if self.path is None:
            return Expected()
        beside = self.path.with_name(manifest_name(self.path.name))
        try:
            told = await in_thread(partial(read_file, beside))
            return Expected(manifest=Manifest.from_json(told))
        except (OSError, ValueError):
            return Expected()

    def again(self) -> FileReader | None:
        return self if self.path is not None and is_regular(self.path) else None

    def confirm(self, snapshot: Snapshot) -> None: ...

    async def describe_proof(self) -> str:
        return _UNDESCRIBED if (await self.expected()).manifest is None else _DESCRIBED

    async def remember(self, verdict: Reading) -> None: ...

    def _open(self) -> FileIO:
        """Open it without a buffer: Python cannot exit while a thread holds a buffer's lock."""
        if self.path is None:
            # None where the stream was closed at the start, although its type excludes that
            if not sys.stdin:
                hint = "give the name of a file, or send the snapshot: < FILE"
                raise AgentError("cannot read standard input: it is closed", hint=hint)
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise AgentError(
                f"cannot read {self.path}: {error.strerror}", hint="check path and permissions"
            ) from error


async def pour(reader: SnapshotReader, spool: Spool) -> None:
    """Copy a snapshot into a spool; a failure makes the spool fail."""
    try:
        async for chunk in reader.read():
            await in_thread(partial(spool.write, chunk))
        spool.complete()
    except AgentError as error:
        spool.fail(error)
    except BaseException:
        # A signal or a defect: the spool's readers would wait for ever.
        spool.fail(Stopped("reading the snapshot was given up"))
        raise


def _format_time(seconds: int) -> str:
    try:
        return f"at {datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "at no time there is"
