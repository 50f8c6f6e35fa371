"""The listing of one storage at one moment: snapshots and the guard's notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raft_snapshot_agent.core.snapshots.naming import Naming, catalogue
from raft_snapshot_agent.core.snapshots.note_names import NoteNames
from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Manifest, Sidecar, Stored
from raft_snapshot_agent.threads import beside_loop


@dataclass(frozen=True, slots=True)
class Listing:
    """The snapshots of a storage, and the notes about all of them."""

    stored: tuple[Stored, ...]
    """Newest first."""
    notes: frozenset[str] = frozenset()
    """The guard's notes that exist there."""

    def with_manifest(self, manifest: Manifest, written: int) -> Listing | None:
        """Return the listing after a manifest was stored; `None` if its snapshot is not listed.

        Arguments:
            manifest: The manifest.
            written: Its size in bytes; 0: it could not be stored.
        """
        name = manifest.snapshot
        place = next((at for at, one in enumerate(self.stored) if one.name == name), None)
        if place is None:
            return None
        vouched = replace(
            self.stored[place],
            size=manifest.size,  # it may have been listed before it was replaced
            verified=written > 0,
            manifest_size=written,
            condemned=False,
            mismatched=False,
            drilled=False,
        )
        return replace(self, stored=(*self.stored[:place], vouched, *self.stored[place + 1 :]))


async def listed(sizes: Mapping[str, int], naming: Naming, names: NoteNames) -> Listing:
    """Find snapshots and the guard's notes among the objects of a storage."""

    def found() -> Listing:
        notes = frozenset(name for name in (names.guard, names.restored) if name and name in sizes)
        return Listing(catalogue(sizes.items(), naming), notes)

    return await beside_loop(found, len(sizes))


def static(name: str, sizes: Mapping[str, int], manifest: Manifest | None) -> Stored:
    """Describe a snapshot with a static name; without a manifest its time is the oldest."""
    condemned = Sidecar.BROKEN.name_for(name) in sizes
    taken_at = None if manifest is None else moment(manifest.taken_at)
    if manifest is None or taken_at is None:
        return Stored(name, NO_TIME, sizes[name], condemned=condemned)
    return Stored(name, taken_at, sizes[name], manifest.index, verified=True, condemned=condemned)
