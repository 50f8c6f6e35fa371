"""Read a snapshot from the first storage that has a whole copy of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    NotThereYet,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader

_T = TypeVar("_T")
Tell = Callable[[str], None]
"""Called with a warning."""


def ignore(_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A copy that cannot be used, or a storage that did not tell whether it has one."""

    label: str
    error: AgentError
    reader: SnapshotReader | None = None

    def __str__(self) -> str:
        told = self.error.message
        return told if self.label in told else f"{self.label}: {told}"

    @property
    def may_be_whole(self) -> bool:
        return not isinstance(self.error, VerificationError)

    @property
    def is_of_copy(self) -> bool:
        """Whether there is a copy: a storage that did not tell matters only if none is whole."""
        return self.reader is not None or not self.may_be_whole


async def read_whole_copy(
    reader: SnapshotReader, read: Callable[[SnapshotReader], Awaitable[_T]], tell: Tell
) -> tuple[SnapshotReader, _T]:
    """Read a snapshot; if this copy cannot be used, read that of the next storage.

    Arguments:
        reader: The copy to read first.
        read: Reads and verifies a copy.
        tell: Called with a warning for each copy that cannot be used.

    Returns:
        The copy that was read, and the result.

    Raises:
        VerificationError: No storage has a whole copy.
        AgentError: A copy that may be whole could not be read, and no other is whole.
    """
    failures: list[_Failure] = []
    async with aclosing(_list_copies(reader, failures)) as copies:
        async for copy in copies:
            try:
                result = await read(copy)
            except (VerificationError, StorageError) as error:
                failures.append(_Failure(copy.label, error, copy))
                continue
            for failure in filter(lambda one: one.is_of_copy, failures):
                tell(f"{failure}; {copy.label} is whole, and is used{_advise(failure, copy)}")
            return copy, result
    # One that could not be read may be whole, so its error goes before those of broken ones.
    decisive = next((one for one in failures if one.may_be_whole), failures[0])
    for failure in failures:
        if failure is not decisive:
            tell(str(failure))
    raise decisive.error


async def _list_copies(
    reader: SnapshotReader, failures: list[_Failure]
) -> AsyncGenerator[SnapshotReader]:
    """Yield a snapshot, then its copies in other storages, which are asked only when needed."""
    yield reader
    if not isinstance(reader, StoredReader) or reader.destination.static_name is not None:
        return
    ours = await _read_known(reader)
    for destination in reader.elsewhere:
        if destination.static_name is not None:
            continue
        try:
            copy = await _find_copy(reader, ours, destination)
        except NotThereYet:
            continue
        except AgentError as error:
            failures.append(_Failure(destination.name, error))
            continue
        if copy is not None:
            yield copy


async def _find_copy(
    reader: StoredReader, ours: Manifest | None, destination: Destination
) -> StoredReader | None:
    """Find another storage's copy of a snapshot, proved as well as the snapshot itself.

    If its SHA-256 is known, it tells what a copy is. Else its name must do, with a manifest where
    the snapshot had one, and with a signed one where there is a key (docs/decisions/0073).

    Arguments:
        reader: The snapshot.
        ours: Its manifest, as far as it is known.
        destination: The other storage.

    Raises:
        VerificationError: It is another snapshot of that name, or nothing proves that it is not.
        AgentError: The storage cannot be asked, or the signing key cannot be read.
    """
    stored = await destination.find(reader.stored.name)
    if stored is None:
        return None
    copy = replace(reader, destination=destination, stored=stored)
    theirs = (await copy.expected()).manifest
    if _is_signed(copy, theirs) and not _is_signed(reader, ours):
        return copy
    if ours is None:
        if destination.signing is None and not (reader.stored.verified and theirs is None):
            return copy
        raise VerificationError("its copy is not used: no manifest proves that it is one")
    if theirs is not None and theirs.sha256 != ours.sha256:
        raise MismatchedSnapshot("its copy is not used: its manifest tells another SHA-256")
    return replace(copy, sha256=ours.sha256)


def _is_signed(reader: StoredReader, manifest: Manifest | None) -> bool:
    return reader.destination.proofs.is_signed(reader.stored, manifest)


async def _read_known(reader: StoredReader) -> Manifest | None:
    """Read the manifest of a snapshot; `None` if it cannot be read."""
    try:
        return (await reader.expected()).manifest
    except StorageError:
        return None


def _advise(failure: _Failure, whole: SnapshotReader) -> str:
    """Return how to replace a broken copy; empty if `copy` would not replace it."""
    reader, error = failure.reader, failure.error
    if failure.may_be_whole or isinstance(error, MismatchedSnapshot):
        return ""
    if not isinstance(reader, StoredReader) or not isinstance(whole, StoredReader):
        return ""
    places = f"--from {whole.destination.name} --to {reader.destination.name}"
    return f" (to replace the broken one: copy {reader.stored.name} {places})"
