"""Read stored snapshots again, in turn, to find damaged or missing ones before they are needed."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from shlex import quote
from typing import cast

import anyio

from raft_snapshot_agent.core.advice import command
from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.listing import listed
from raft_snapshot_agent.destination.sidecars import read_if_any
from raft_snapshot_agent.destination.verification import Copy, Expected, Reading, SnapshotState
from raft_snapshot_agent.errors import LoginRefused, SnapshotNotFound, StorageDenied, StorageError
from raft_snapshot_agent.storage.base import BytesSource, sizes_of
from raft_snapshot_agent.threads import beside_loop

_LONGEST_REST = 1.0
"""Maximum seconds of pause after a chunk."""
_GONE = (
    "its manifest still exists, but something other than the agent deleted the snapshot, such as a"
    " lifecycle rule or a person"
)

Turn = Callable[[], Awaitable[None]]
"""Waits until the storage may be read."""


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """The result of one scrub of a storage."""

    note: ScrubNote
    rotten: tuple[str, ...] = ()
    """Damaged, exchanged or missing snapshots: an alarm, in the same words in every scrub."""
    troubles: tuple[str, ...] = ()
    """Failures of the scrub itself."""
    read: tuple[str, ...] = ()


async def read_scrub_note(
    destination: Destination, now: datetime, stored: Collection[Stored] | None = None
) -> ScrubNote:
    """Read the note of earlier scrubs; empty if there is none or it is not valid.

    Arguments:
        destination: The storage.
        now: The present time.
        stored: All its snapshots: what the note says of others, or of replaced ones, is left out.

    Raises:
        StorageError: It cannot be read.
    """
    text = await read_if_any(destination.storage, destination.notes.scrub)
    if text is None:
        return ScrubNote()
    note = ScrubNote.from_json(text, destination.keys, now)
    return note if stored is None else note.about(stored, destination.static_name)


async def scrub(
    destination: Destination,
    before: ScrubNote,
    count: int,
    clock: Callable[[], datetime],
    turn: Turn,
) -> ScrubResult:
    """Read some snapshots, compare them with their manifests, and store the result.

    Arguments:
        destination: The storage.
        before: Earlier results known to this agent, in addition to those in the storage.
        count: Number of snapshots to read.
        clock: Returns the present time.
        turn: Called before each chunk; waits until the storage may be read.

    Raises:
        StorageError: The storage cannot be listed.
    """
    await turn()
    sizes = await sizes_of(destination.storage)
    noted = await _read_note(destination, clock())
    stored = await _list_stored(destination, sizes)
    missing = _missing(destination, sizes)
    note = before.merged(noted).about(stored, destination.static_name)
    found: dict[str, Reading] = {}
    chance = random.random()  # noqa: S311 - it is no secret
    for one in await beside_loop(partial(note.choose, stored, count, chance), len(stored)):
        reading = await _judge(destination, one, turn)
        found[one.name] = reading
        if reading.state is SnapshotState.UNREADABLE:
            continue
        note = note.with_reading(one.name, LastReading(clock(), reading.state.value))
    await turn()
    vanished = await _still_missing(destination, missing)
    note = note.after_look(vanished, clock())
    troubles = await _remember(destination, note, stored, found, clock())
    return ScrubResult(
        note,
        (*_rotten(destination, note, found), *(_vanished(destination, one) for one in vanished)),
        (*_unread(destination, found), *troubles),
        tuple(found),
    )


async def find_missing(destination: Destination) -> list[str]:
    """List the names of snapshots of which only the manifest is left.

    Raises:
        StorageError: The storage cannot be listed.
    """
    sizes = await sizes_of(destination.storage)
    return await _still_missing(destination, _missing(destination, sizes))


def describe_missing(destination: Destination, name: str) -> str:
    """Describe such a snapshot, and what to do."""
    mend = f"to store it again: {_replace(destination, name)}"
    return f"{_GONE} ({mend}; if you deleted it on purpose, delete its manifest too)"


async def _read_note(destination: Destination, now: datetime) -> ScrubNote:
    try:
        return await read_scrub_note(destination, now)
    except LoginRefused:
        raise
    except StorageDenied:
        return ScrubNote()


async def _list_stored(destination: Destination, sizes: Mapping[str, int]) -> tuple[Stored, ...]:
    if destination.static_name is not None:
        return await destination.stored()
    return (await listed(sizes, destination.naming, destination.notes)).stored


def _missing(destination: Destination, sizes: Mapping[str, int]) -> list[str]:
    """List the snapshots of which only the manifest exists."""
    ending = Sidecar.MANIFEST.value
    names = [one.removesuffix(ending) for one in sizes if one.endswith(ending)]
    return [name for name in names if name not in sizes and _is_ours(destination, name)]


def _is_ours(destination: Destination, name: str) -> bool:
    if destination.static_name is not None:
        return name == destination.static_name
    return parse(name, destination.naming) is not None


async def _still_missing(destination: Destination, missing: list[str]) -> list[str]:
    """List again, as the first listing may have been made during a delete."""
    if not missing:
        return []
    sizes = await sizes_of(destination.storage)
    return [name for name in missing if name not in sizes and manifest_name(name) in sizes]


async def _judge(destination: Destination, one: Stored, turn: Turn) -> Reading:
    """Read a snapshot, twice unless it is intact."""
    verdicts = destination.verdicts
    first, again = [Unhurried(verdicts.copy(one, anew=anew), turn) for anew in (False, True)]
    return await verification.judge(first, again)


async def _remember(
    destination: Destination,
    note: ScrubNote,
    stored: tuple[Stored, ...],
    found: Mapping[str, Reading],
    now: datetime,
) -> list[str]:
    """Store the notes; return the errors."""
    name = destination.name
    try:
        for one in stored:
            if one.name in found:
                await destination.verdicts.mark(one, found[one.name], now)
        text = note.to_json(destination.keys)
        await destination.storage.put(destination.notes.scrub, BytesSource(text))
    except LoginRefused:
        raise
    except StorageError as error:
        return [f"{name}: the result of the scrub could not be stored: {error}"]
    return []


def _rotten(destination: Destination, note: ScrubNote, found: Mapping[str, Reading]) -> list[str]:
    told = []
    for name in note.rotten:
        reading = found.get(name)
        why = reading.error if reading is not None and reading.error else "it was found so before"
        what, mend = "is corrupted", "check the disk or bucket; to replace the snapshot"
        if note.is_exchanged(name):  # `copy` does not replace what is whole
            what, mend = "was exchanged", "find out who did it; delete it in the storage, then"
        instead = _replace(destination, name)
        told.append(f"{destination.name}: {name} {what}: {why} ({mend}: {instead})")
    return told


def _vanished(destination: Destination, name: str) -> str:
    return f"{destination.name}: {name} is missing: {describe_missing(destination, name)}"


def _replace(destination: Destination, name: str) -> str:
    """Return the command that replaces a snapshot; a static name is that of the newest."""
    there = quote(destination.name)
    instead = f"copy {quote(name)} --from OTHER_STORAGE --to {there}"
    if destination.static_name is not None:
        instead = f"save --storage {there}"
    return command(instead, destination.cluster)


def _unread(destination: Destination, found: Mapping[str, Reading]) -> list[str]:
    return [
        f"{destination.name}: {name} could not be read back: {reading.error}"
        for name, reading in found.items()
        if reading.state is SnapshotState.UNREADABLE
        and not isinstance(reading.error, SnapshotNotFound)
    ]


@dataclass(frozen=True, slots=True)
class Unhurried:
    """A snapshot that is read at half speed, and only while the storage is otherwise idle."""

    copy: Copy
    turn: Turn

    async def expected(self) -> Expected:
        return await self.copy.expected()

    async def read(self) -> AsyncIterator[bytes]:
        """Stream it, and pause after each chunk for as long as the chunk took."""
        async with aclosing(cast("AsyncGenerator[bytes]", self.copy.read())) as pieces:
            while True:
                await self.turn()
                began = time.monotonic()
                piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
                await anyio.sleep(min(time.monotonic() - began, _LONGEST_REST))
