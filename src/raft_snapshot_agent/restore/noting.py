"""Word of a restore, left beside the snapshots: the next one is not like those before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.core.notes import Restored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.restore.restore import Fetched
from raft_snapshot_agent.uptime import instant


def describe_restored(got: Fetched, label: str) -> Restored:
    """Return the note of a restore that begins now."""
    now = instant()
    return Restored(
        snapshot=Path(label).name,
        at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        cluster_id=got.manifest.cluster_id if got.manifest else "",
        index=got.snapshot.meta.index,
        size=got.snapshot.size,
        clock=now.clock,
        uptime=now.seconds,
    )


async def leave_word(destinations: Sequence[Destination], restored: Restored) -> list[str]:
    """Note a restore beside the snapshots, so that the next one raises no alarm.

    Before the restore, for an agent may take one as soon as it is done.

    Returns:
        Where that was not possible, and why.
    """

    def say(name: str, error: AgentError) -> str:
        return (
            f"{name}: the restore is not noted there: {error}."
            " If the next snapshot raises an alarm: prune --acknowledge"
        )

    return await _note_each(destinations, lambda one: one.expect(restored), say)


async def take_back(destinations: Sequence[Destination]) -> list[str]:
    """Remove the note of a restore that changed nothing: the next snapshot does not follow on it.

    Returns:
        Where that was not possible, and why.
    """

    def say(name: str, error: AgentError) -> str:
        return f"{name}: the note of the restore stays there: {error}"

    return await _note_each(destinations, lambda one: one.expect_nothing(), say)


async def _note_each(
    destinations: Sequence[Destination],
    note: Callable[[Destination], Awaitable[None]],
    say: Callable[[str, AgentError], str],
) -> list[str]:
    """Note something in each storage that prunes, and return where that was not possible."""
    troubles = []
    for destination in destinations:
        try:
            if destination.prunes:
                await note(destination)
        except AgentError as error:
            troubles.append(say(destination.name, error))
    return troubles
