"""Notes of a restore in the storages, so that the guard expects a different next snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from raft_snapshot_agent.core.snapshots.notes import Restored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.restore.restore import Fetched
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


async def note_restore(destinations: Sequence[Destination], restored: Restored) -> list[str]:
    """Store a note of a restore in the storages, so that the next snapshot raises no alarm.

    It is stored before the restore, as an agent may take a snapshot immediately after it.

    Returns:
        The error of each storage where that failed.
    """

    def say(name: str, error: AgentError) -> str:
        return (
            f"{name}: cannot store a note of the restore: {error}."
            " If the next snapshot raises an alarm: prune --acknowledge"
        )

    return await _note_each(destinations, lambda one: one.expect(restored), say)


async def take_back(destinations: Sequence[Destination]) -> list[str]:
    """Remove the note of a restore that changed nothing.

    Returns:
        The error of each storage where that failed.
    """

    def say(name: str, error: AgentError) -> str:
        return f"{name}: cannot remove the note of the restore: {error}"

    return await _note_each(destinations, lambda one: one.expect_nothing(), say)


async def _note_each(
    destinations: Sequence[Destination],
    note: Callable[[Destination], Awaitable[None]],
    say: Callable[[str, AgentError], str],
) -> list[str]:
    """Write or remove a note in each storage that prunes; return the error of each failure."""
    troubles = []
    for destination in destinations:
        try:
            if destination.prunes:
                await note(destination)
        except AgentError as error:
            troubles.append(say(destination.name, error))
    return troubles
