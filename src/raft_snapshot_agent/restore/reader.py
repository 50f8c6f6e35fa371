"""Sources of existing snapshots: a storage, a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import MINYEAR, UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from raft_snapshot_agent.core.history.proof import AHEAD
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.verification import Copy, Expected, Reading
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    SnapshotNotFound,
    Stopped,
)
from raft_snapshot_agent.restore.nearest import describe_nearest
from raft_snapshot_agent.restore.way_back import is_way_back
from raft_snapshot_agent.small_file import read_file
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool

_STEP = 1 << 20
_APART = 86400
"""Maximum difference in seconds between name and server time of the latest snapshot."""
_JUDGED = 300
"""Number of newest manifests to read to choose the latest; more could take minutes."""
_DESCRIBED = "described by an unsigned manifest, which anyone with write access could have written"
_NAMED = "described only by its name"
_UNDESCRIBED = "none, no manifest describes it"


class SnapshotReader(Protocol):
    """A snapshot that can be read from its beginning."""

    @property
    def label(self) -> str: ...

    def read(self) -> AsyncIterator[bytes]: ...

    async def expected(self) -> Expected:
        """Return what is known about it before it is read."""

    def again(self) -> SnapshotReader | None:
        """Open it for an independent second reading; `None` if that is impossible."""

    async def proof(self) -> str:
        """Describe how its origin is proved."""

    def confirm(self, snapshot: Snapshot) -> None:
        """Compare its archive with the time for which it was chosen.

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
    is_latest: bool = False
    """Whether it was chosen by its date, which its archive must then confirm."""

    @property
    def label(self) -> str:
        return self.destination.storage.location(self.stored.name)

    def read(self) -> AsyncIterator[bytes]:
        return self._copy.read()

    async def expected(self) -> Expected:
        return await self._copy.expected()

    def again(self) -> StoredReader:
        return replace(self, is_second=True)

    async def proof(self) -> str:
        if self.destination.static_name is None:
            proofs, listed = self.destination.proofs, await self.destination.stored()
            (judged,) = await proofs.worth(await proofs.judge(listed), [self.stored])
        else:
            judged = self.stored
        if judged.signed:
            return "signed with the agents' key"
        told = judged.doubt.removesuffix(": does not count for retention")
        known = told or (_DESCRIBED if judged.verified else _NAMED)
        unsigned = self.destination.signing is not None and not told
        return f"unsigned; {known}" if unsigned else known

    def confirm(self, snapshot: Snapshot) -> None:
        written_at = snapshot.meta.written_at
        if not self.is_latest or written_at is None or self.stored.taken_at.year == MINYEAR:
            return
        if abs(written_at - self.stored.taken_at.timestamp()) > _APART:
            raise MismatchedSnapshot(
                f"its server wrote it {_format_time(written_at)}, and its name tells another day",
                hint="it may be an old one under a new name; to use it all the same, give its name",
            )

    async def remember(self, verdict: Reading) -> None:
        await self.destination.verdicts.remember(self.stored, verdict, datetime.now(UTC))

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

    async def read(self) -> AsyncIterator[bytes]:
        file = await in_thread(self._open)
        try:
            # Abandonable: a read from a terminal or a slow pipe must not block Ctrl-C.
            while chunk := await in_thread(partial(file.read, _STEP), abandon=self.path is None):
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
        return None if self.path is None else self

    def confirm(self, snapshot: Snapshot) -> None: ...

    async def proof(self) -> str:
        return _UNDESCRIBED if (await self.expected()).manifest is None else _DESCRIBED

    async def remember(self, verdict: Reading) -> None: ...

    def _open(self) -> BinaryIO:
        if self.path is None:
            # None where the stream was closed at the start, although its type excludes that
            if not sys.stdin:
                hint = "give the name of a file, or send the snapshot: < FILE"
                raise AgentError("cannot read standard input: it is closed", hint=hint)
            # Unbuffered: Python cannot exit while a thread holds the buffer's lock.
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise AgentError(
                f"cannot read {self.path}: {error.strerror}", hint="check path and permissions"
            ) from error


async def choose(destinations: Sequence[Destination], wanted: str | None) -> SnapshotReader:
    """Find a snapshot.

    Arguments:
        destinations: The storages to look in, in order.
        wanted: A snapshot's name, a file's path, or `-` for standard input; `None`: the newest
            verified snapshot, else the newest.

    Raises:
        SnapshotNotFound: There is none.
        StorageError: No storage could be listed.
    """
    if wanted is None:
        return await _choose_latest(destinations)
    if wanted == "-":
        return FileReader(None)
    if "/" in wanted or await in_thread(Path(wanted).is_file):
        return FileReader(Path(wanted))
    return await _find_by_name(destinations, wanted)


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


async def _choose_latest(destinations: Sequence[Destination]) -> SnapshotReader:
    """Choose the newest of the best proved: signed, described by a manifest, or only named.

    Excludes snapshots from the future, and those that do not match their manifest.
    """
    found: list[tuple[Stored, Destination]] = []
    trouble: AgentError | None = None
    for destination in destinations:
        try:
            found += [(one, destination) for one in await _list_proved(destination)]
        except AgentError as error:
            trouble = error
    if not found:
        raise trouble or SnapshotNotFound("no storage holds a snapshot", hint="take one: save")
    now = datetime.now(UTC) + AHEAD
    believed = [pair for pair in found if pair[0].counts and pair[0].taken_at <= now]
    if not believed:
        raise trouble or SnapshotNotFound(
            f"none of the {len(found)} snapshots that are stored can be believed to be the latest",
            hint="list and prune --dry-run say why; to use one all the same, give its name",
        )
    for stored, destination in sorted(believed, key=lambda pair: _rank(pair[0]), reverse=True):
        if not await is_way_back(destination, stored):
            return StoredReader(destination, stored, is_latest=True)
    raise SnapshotNotFound(
        "all that is stored are safety snapshots, taken before a restore",
        hint="list shows them; to use one, give its name",
    )


def _format_time(seconds: int) -> str:
    try:
        return f"at {datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "at no time there is"


async def _list_proved(destination: Destination) -> list[Stored]:
    """List the snapshots of a storage, each judged by the manifests."""
    stored = await destination.stored()
    judged = await destination.proofs.worth(
        await destination.proofs.judge(stored), stored[:_JUDGED]
    )
    return [*judged, *stored[_JUDGED:]]


def _rank(stored: Stored) -> tuple[bool, bool, datetime]:
    return stored.signed, stored.proved, stored.taken_at


async def _find_by_name(destinations: Sequence[Destination], name: str) -> SnapshotReader:
    trouble: AgentError | None = None
    names: set[str] = set()
    for destination in destinations:
        try:
            found = await destination.find(name)
            if found is None:
                names.update(one.name for one in await destination.stored())
        except AgentError as error:
            trouble = error
            continue
        if found is not None:
            return StoredReader(destination, found)
    raise trouble or SnapshotNotFound(
        f"no snapshot is called {name}",
        hint=f"{describe_nearest(name, names)}list shows what is stored; a file needs its path",
    )
