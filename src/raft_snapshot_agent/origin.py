"""Where an existing snapshot comes from: a storage, a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from raft_snapshot_agent.agent import Place
from raft_snapshot_agent.core.archive import ArchiveVerifier
from raft_snapshot_agent.core.naming import manifest_name
from raft_snapshot_agent.core.snapshot import Manifest, Snapshot, Stored
from raft_snapshot_agent.errors import (
    AgentError,
    SnapshotNotFound,
    Stopped,
    VerificationError,
)
from raft_snapshot_agent.spool import Spool
from raft_snapshot_agent.threads import in_thread

_STEP = 1 << 20


class Origin(Protocol):
    """A snapshot that can be read from its beginning."""

    @property
    def label(self) -> str: ...

    def read(self) -> AsyncIterator[bytes]: ...

    async def manifest(self) -> Manifest | None:
        """Read what lies beside it; nothing where there is none."""


@dataclass(frozen=True, slots=True)
class StoredOrigin:
    """A snapshot in one of the storages."""

    place: Place
    name: str

    @property
    def label(self) -> str:
        return self.place.storage.location(self.name)

    def read(self) -> AsyncIterator[bytes]:
        return self.place.storage.read(self.name)

    async def manifest(self) -> Manifest | None:
        return await self.place.manifest(self.name)


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """A snapshot in a file, or on standard input."""

    path: Path | None

    @property
    def label(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    async def read(self) -> AsyncIterator[bytes]:
        file = await in_thread(self._open)
        try:
            # Who waits at a terminal or for a slow pipe must be able to give up.
            while chunk := await in_thread(partial(file.read, _STEP), abandon=self.path is None):
                yield chunk
        except OSError as error:
            raise AgentError(f"cannot read {self.label}: {error.strerror}") from error
        finally:
            file.close()

    async def manifest(self) -> Manifest | None:
        if self.path is None:
            return None
        beside = self.path.with_name(manifest_name(self.path.name))
        try:
            return Manifest.from_json(await in_thread(beside.read_bytes))
        except (OSError, ValueError):
            return None

    def _open(self) -> BinaryIO:
        if self.path is None:
            # Unbuffered: Python cannot end while a thread holds the buffer's lock.
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise AgentError(
                f"cannot read {self.path}: {error.strerror}", hint="check path and rights"
            ) from error


async def choose(places: Sequence[Place], wanted: str | None) -> Origin:
    """Find a snapshot.

    Arguments:
        places: The storages to look in, in order.
        wanted: A snapshot's name, a file's path, `-` for standard input; `None`: the newest
            one that was verified, else the newest.

    Raises:
        SnapshotNotFound: There is none.
        StorageError: No storage could be asked.
    """
    if wanted is None:
        return await _latest(places)
    if wanted == "-":
        return FileOrigin(None)
    if "/" in wanted or await in_thread(Path(wanted).is_file):
        return FileOrigin(Path(wanted))
    return await _named(places, wanted)


async def examine(origin: Origin) -> Snapshot:
    """Read a snapshot to its end and prove it whole.

    Raises:
        VerificationError: It is not, or not the one its manifest describes.
        AgentError: It could not be read.
    """
    verifier = ArchiveVerifier()
    async for chunk in origin.read():
        await in_thread(partial(verifier.feed, chunk))
    snapshot = verifier.finish()
    compare(snapshot, await origin.manifest())
    return snapshot


@contextmanager
def naming(origin: Origin) -> Iterator[None]:
    """Let the error about a broken snapshot say which one it is."""
    try:
        yield
    except VerificationError as error:
        raise VerificationError(f"{origin.label}: {error.message}", hint=error.hint) from error


async def pour(origin: Origin, spool: Spool) -> None:
    """Copy a snapshot into a spool; a failure is the spool's."""
    try:
        async for chunk in origin.read():
            await in_thread(partial(spool.write, chunk))
        spool.complete()
    except AgentError as error:
        spool.fail(error)
    except BaseException:
        # A signal or a defect: whoever follows the spool would wait for ever.
        spool.fail(Stopped("reading the snapshot was given up"))
        raise


def compare(snapshot: Snapshot, manifest: Manifest | None) -> None:
    """Hold a snapshot against its manifest.

    Raises:
        VerificationError: They do not belong together.
    """
    if manifest is not None and manifest.sha256 != snapshot.sha256:
        raise VerificationError(
            "it is whole, but not the snapshot its manifest describes: SHA-256"
            f" {snapshot.sha256[:12]}... instead of {manifest.sha256[:12]}...",
            hint="it was replaced after it was stored; do not trust it unless you know by whom",
        )


async def _latest(places: Sequence[Place]) -> Origin:
    found: list[tuple[Stored, Place]] = []
    trouble: AgentError | None = None
    for place in places:
        try:
            found += [(one, place) for one in await place.stored() if not one.broken]
        except AgentError as error:
            trouble = error
    if not found:
        raise trouble or SnapshotNotFound("no storage holds a snapshot", hint="take one: save")
    stored, place = max(found, key=lambda pair: (pair[0].verified, pair[0].taken_at))
    return StoredOrigin(place, stored.name)


async def _named(places: Sequence[Place], name: str) -> Origin:
    trouble: AgentError | None = None
    for place in places:
        try:
            names = {entry.name for entry in await place.storage.entries()}
        except AgentError as error:
            trouble = error
            continue
        if name in names:
            return StoredOrigin(place, name)
    raise trouble or SnapshotNotFound(
        f"no snapshot is called {name}", hint="list shows what is stored; a file needs its path"
    )
