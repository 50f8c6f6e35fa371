"""Notes of a restore in the storages, so that the guard expects a different next snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raft_snapshot_agent.core.advice import advise
from raft_snapshot_agent.core.snapshots.notes import Restored
from raft_snapshot_agent.core.snapshots.restored_note import write_restored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.sidecars import read_if_any
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.restore.fetching import Fetched
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.uptime import instant


def describe_restored(got: Fetched, now: datetime) -> Restored:
    """Return the note of a restore that starts now."""
    began = instant()
    return Restored(
        snapshot=got.reader.name,
        at=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        cluster_id=got.manifest.cluster_id if got.manifest else "",
        index=got.snapshot.meta.index,
        size=got.snapshot.size,
        clock=began.clock,
        uptime=began.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Left:
    """What one storage got, and what it had."""

    own: bytes
    earlier: bytes | None
    """The note of an earlier restore that no snapshot was compared with yet."""


@dataclass(frozen=True, slots=True)
class RestoreNotes:
    """The notes of one restore, which replace those of an earlier one until they are taken back.

    Another restore may run at the same time, and of two one is refused. So each takes back no other
    note than its own, and the one that succeeds looks again whether its note is there.
    """

    destinations: Sequence[Destination]
    _left: dict[str, _Left] = field(default_factory=dict)
    """By storage."""

    async def leave(self, restored: Restored) -> list[str]:
        """Store a note of a restore in the storages, so that the next snapshot raises no alarm.

        It is stored before the restore, as an agent may take a snapshot immediately after it.

        Returns:
            The error of each storage where that failed.
        """

        async def note(destination: Destination) -> None:
            own = write_restored(restored, destination.keys)
            self._left[destination.name] = _Left(own, await _read_note(destination))
            await destination.expect(restored)

        readable = [one for one in self.destinations if not one.is_write_only]
        return await _note_each(readable, note, self._explain_missing)

    async def keep(self, restored: Restored) -> list[str]:
        """Store the note again where it is gone, as the snapshot was sent.

        Another restore may have replaced it, or a snapshot taken during the upload used it up.

        Arguments:
            restored: The restore, with the present time: a snapshot from before is none of it.

        Returns:
            The error of each storage where that failed.
        """

        async def note(destination: Destination) -> None:
            if await _read_note(destination) != self._left[destination.name].own:
                await destination.expect(restored)

        return await _note_each(self._noted, note, self._explain_missing)

    async def take_back(self) -> list[str]:
        """Put the earlier notes back, as the restore changed nothing.

        Returns:
            The error of each storage where that failed.
        """

        async def put_back(destination: Destination) -> None:
            left = self._left[destination.name]
            if await _read_note(destination) != left.own:
                return
            if left.earlier is None:
                await destination.storage.delete(destination.notes.restored)
            else:
                await destination.storage.put(destination.notes.restored, BytesSource(left.earlier))

        def say(name: str, error: AgentError) -> str:
            return f"{name}: cannot take back the note of the restore: {error}"

        return await _note_each(self._noted, put_back, say)

    @property
    def _noted(self) -> Iterator[Destination]:
        return (one for one in self.destinations if one.name in self._left)

    def _explain_missing(self, name: str, error: AgentError) -> str:
        cluster = self.destinations[0].cluster
        mend = advise("If the next snapshot raises an alarm", "prune --acknowledge", cluster)
        return f"{name}: cannot store a note of the restore: {error}. {mend}"


async def _read_note(destination: Destination) -> bytes | None:
    return await read_if_any(destination.storage, destination.notes.restored)


async def _note_each(
    destinations: Iterable[Destination],
    note: Callable[[Destination], Awaitable[None]],
    say: Callable[[str, AgentError], str],
) -> list[str]:
    """Change the note in each storage; return the error of each failure."""
    troubles = []
    for destination in destinations:
        try:
            await note(destination)
        except AgentError as error:
            troubles.append(say(destination.name, error))
    return troubles
