"""Read a snapshot from the first storage that has a whole copy of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader

_T = TypeVar("_T")
_Failure = tuple[SnapshotReader, AgentError]
Tell = Callable[[str], None]
"""Called with a warning."""


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
        StorageError: A copy that may be whole could not be read, and no other is whole.
    """
    failures: list[_Failure] = []
    async with aclosing(_list_copies(reader)) as copies:
        async for copy in copies:
            try:
                result = await read(copy)
            except (VerificationError, StorageError) as error:
                failures.append((copy, error))
                continue
            for failure in failures:
                advice = _advise(failure, copy)
                tell(f"{_describe(failure)}; {copy.label} is whole, and is used{advice}")
            return copy, result
    # One that could not be read may be whole, so its error goes before those of broken ones.
    decisive = next((one for one in failures if isinstance(one[1], StorageError)), failures[0])
    for failure in failures:
        if failure is not decisive:
            tell(_describe(failure))
    raise decisive[1]


async def _list_copies(reader: SnapshotReader) -> AsyncGenerator[SnapshotReader]:
    """Yield a snapshot, then its copies in other storages, which are asked only when needed."""
    yield reader
    if not isinstance(reader, StoredReader) or reader.destination.static_name is not None:
        return
    ours = await _read_manifest(reader)
    for destination in reader.elsewhere:
        try:
            found = await destination.find(reader.stored.name)
        except AgentError:
            continue
        if found is None or destination.static_name is not None:
            continue
        copy = replace(reader, destination=destination, stored=found)
        theirs = await _read_manifest(copy)
        if ours is None or theirs is None or ours.sha256 == theirs.sha256:
            yield copy


async def _read_manifest(reader: StoredReader) -> Manifest | None:
    try:
        return (await reader.expected()).manifest
    except StorageError:
        return None


def _describe(failure: _Failure) -> str:
    reader, error = failure
    return error.message if reader.label in error.message else f"{reader.label}: {error.message}"


def _advise(failure: _Failure, whole: SnapshotReader) -> str:
    """Return how to replace a broken copy; empty if `copy` would not replace it."""
    reader, error = failure
    if not isinstance(error, VerificationError) or isinstance(error, MismatchedSnapshot):
        return ""
    if not isinstance(reader, StoredReader) or not isinstance(whole, StoredReader):
        return ""
    places = f"--from {whole.destination.name} --to {reader.destination.name}"
    return f" (to replace the broken one: copy {reader.stored.name} {places})"
