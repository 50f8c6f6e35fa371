"""Verdicts on the stored snapshots of one storage, and the notes that record them.

A note is only a claim: the snapshot no longer counts for retention, but is not deleted for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.snapshots.naming import Naming, parse
from raft_snapshot_agent.core.snapshots.note_names import NoteNames
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Condemnation, Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.sidecars import read_if_any, read_small
from raft_snapshot_agent.destination.verification import Copy, Reading, SnapshotState
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage

if TYPE_CHECKING:
    from raft_snapshot_agent.core.snapshots.scrub_note import LastReading


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verifies snapshots, and stores the verdicts beside them."""

    storage: Storage
    naming: Naming
    static_name: str | None
    reopen: Callable[[], Storage] | None
    signing: Callable[[], SigningKeys] | None = None

    async def dated(self, stored: Iterable[Stored]) -> tuple[Stored, ...]:
        """Read since when snapshots are marked as broken."""
        return tuple([await self._add_date(one) if one.condemned else one for one in stored])

    def copy(self, stored: Stored, *, anew: bool = False) -> Copy:
        """Open a snapshot for reading.

        Arguments:
            stored: The snapshot.
            anew: Whether to use new connections.
        """
        storage = self.reopen() if anew and self.reopen else self.storage
        parsed = None if self.static_name else parse(stored.name, self.naming)
        return Copy(storage, stored.name, stored.size, parsed.index if parsed else None)

    async def judge(self, stored: Stored) -> Reading:
        """Read a snapshot, twice unless it is intact, and return the verdict."""
        return await verification.judge(self.copy(stored), self.copy(stored, anew=True))

    async def remember(self, stored: Stored, verdict: Reading, now: datetime) -> None:
        """Mark a snapshot as this verdict requires; one that is intact is so for the scrub, too."""
        await self.mark(stored, verdict, now)
        if verdict.state is SnapshotState.WHOLE:
            from raft_snapshot_agent.core.snapshots.scrub_note import LastReading

            await self.replace_finding(stored.name, LastReading(now), now)

    async def replace_finding(self, name: str, reading: LastReading | None, now: datetime) -> None:
        """Replace what a scrub found wrong with a snapshot.

        Without the key a signed note stays as it is: an unsigned one would tell the agents nothing.

        Arguments:
            name: The snapshot.
            reading: A later reading; `None`: it was replaced, and the next scrub reads it.
            now: The present time.
        """
        # A run that finds nothing broken does without it.
        from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote, has_signature

        keys = None if self.signing is None else self.signing()
        notes = NoteNames.of(self.static_name).scrub
        text = await read_if_any(self.storage, notes)
        if text is None or (keys is None and has_signature(text)):
            return
        note = ScrubNote.from_json(text, keys, now)
        if name in note.rotten:
            note = note.without(name) if reading is None else note.with_reading(name, reading)
            await self.storage.put(notes, BytesSource(note.to_json(keys)))

    async def mark(self, stored: Stored, verdict: Reading, now: datetime) -> None:
        """Store or remove the notes beside a snapshot as this verdict requires.

        An existing mark keeps its date; an intact snapshot loses its notes. A snapshot with a
        static name gets none, as the next one may replace it at any time.
        """
        if self.static_name is not None or verdict.state is SnapshotState.UNREADABLE:
            return
        if verdict.state is SnapshotState.BROKEN:
            await self._condemn(stored, verdict, now)
        if verdict.state is SnapshotState.MISMATCH:
            await self._note(stored.name, Sidecar.MISMATCH, f"{verdict.error}\n".encode())
        if stored.condemned and verdict.state is not SnapshotState.BROKEN:
            await self.storage.delete(Sidecar.BROKEN.name_for(stored.name))
        if stored.mismatched and verdict.state is SnapshotState.WHOLE:
            await self.storage.delete(Sidecar.MISMATCH.name_for(stored.name))

    async def _condemn(self, stored: Stored, verdict: Reading, now: datetime) -> None:
        """Record when a snapshot was first found broken; an empty one needs no note."""
        since = (await self._add_date(stored)).condemned_at if stored.condemned else None
        if since is None and stored.size:
            note = Condemnation("" if verdict.error is None else verdict.error.message, now)
            await self._note(stored.name, Sidecar.BROKEN, note.to_json())

    async def _note(self, name: str, beside: Sidecar, text: bytes) -> None:
        await self.storage.put(beside.name_for(name), BytesSource(text))

    async def _add_date(self, one: Stored) -> Stored:
        try:
            note = await read_small(self.storage, Sidecar.BROKEN.name_for(one.name))
        except SnapshotNotFound:
            return replace(one, condemned=False, condemned_at=None)
        except StorageError:
            # Date unknown: it is reported as broken, but never deleted.
            return replace(one, condemned_at=datetime.max.replace(tzinfo=UTC))
        return replace(one, condemned=True, condemned_at=Condemnation.from_json(note).since)
