"""The guard of one storage: compares a new snapshot with earlier ones, and keeps notes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import dropwhile

from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.history.clock_jumps import explain_jump
from raft_snapshot_agent.core.history.flood import Pace, fingerprinted
from raft_snapshot_agent.core.history.guard import Losses, Point, Span, judge, suspects
from raft_snapshot_agent.core.snapshots.naming import manifest_name, newest_first
from raft_snapshot_agent.core.snapshots.note_names import NoteNames
from raft_snapshot_agent.core.snapshots.notes import Alarm, Restored
from raft_snapshot_agent.core.snapshots.restored_note import is_believed
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, SAFETY, Instant, Manifest, Stored
from raft_snapshot_agent.destination.listing import Listing
from raft_snapshot_agent.destination.proofs import Proofs
from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.threads import beside_loop

_TRIED = 10
"""Maximum manifests to compare with the new one; untrusted ones are not counted."""
_ADMITTED = 64
"""Number of older manifests to update, too: they may become the newest after deletions."""
_UNSIGNED = (
    "{} is not signed with a key of this cluster, and counts for nothing (if the"
    " next snapshot raises an alarm after a restore: prune --acknowledge; else delete it)"
)


@dataclass(frozen=True, slots=True)
class History:
    """The earlier snapshots to compare with, and warnings about them."""

    points: tuple[Point, ...] = ()
    alarm: Alarm | None = None
    """An alarm raised earlier and not acknowledged yet."""
    restored: Restored | None = None
    """A restore by an operator since the last snapshot."""
    warnings: tuple[str, ...] = ()
    known: str = ""
    """The list of earlier snapshots for the new manifest."""
    flood: str = ""
    """Why the number of new snapshots is unexplained."""
    listing: Listing | None = None
    """The listing of the storage."""

    def accepts(self, now: Manifest, losses: Losses) -> bool:
        """Return whether a new snapshot would raise no alarm, and let retention delete others."""
        if self.alarm is not None or self.flood:
            return False
        point = Point.of(now)
        is_fine = judge(self.points, point, losses, self.restored).is_fine
        return is_fine and not explain_jump(self.points, point)


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The guard's verdict on a new snapshot."""

    manifest: Manifest
    """The new manifest, ready to store."""
    alarm: str = ""
    """Why nothing is pruned until an operator acknowledges it."""
    unsettled: str = ""
    """Why nothing is pruned this time."""
    warnings: tuple[str, ...] = ()
    """Warnings, in the same words in every run until they are resolved."""

    @property
    def may_prune(self) -> bool:
        return not (self.alarm or self.unsettled)


async def read_history(
    proofs: Proofs, listing: Listing, names: NoteNames, began: Instant, taken_at: datetime
) -> History:
    """Read what a new snapshot is compared with.

    Arguments:
        proofs: The manifests of the storage.
        listing: Its listing.
        names: The names of its notes.
        began: Monotonic time just before the new snapshot was requested.
        taken_at: The same by the wall clock.
    """
    now = Span(began, began, taken_at, taken_at)
    stored = listing.stored
    present = list_present(stored, taken_at)
    points = await _points(proofs, present, now)
    storage = proofs.storage
    alarm = restored = None
    with suppress(SnapshotNotFound):  # deleted in the meantime
        if names.guard is not None and names.guard in listing.notes:
            alarm = Alarm.from_json(await read_small(storage, names.guard))
    with suppress(SnapshotNotFound):
        if names.restored in listing.notes:
            restored = Restored.from_json(await read_small(storage, names.restored))
    warnings = await beside_loop(partial(_list_warnings, stored), len(stored))
    if restored is not None and not is_believed(restored, proofs.keys):
        restored, warnings = None, (*warnings, _UNSIGNED.format(names.restored))
    return History(tuple(points), alarm, restored, warnings, listing=listing)


def list_present(stored: Sequence[Stored], now: datetime) -> tuple[Stored, ...]:
    """List the snapshots that are not dated in the future, newest first."""
    return tuple(dropwhile(lambda one: one.taken_at > now + AHEAD, stored))


async def compare_and_record(
    storage: Storage, history: History | None, now: Manifest, losses: Losses, names: NoteNames
) -> GuardResult:
    """Compare a new snapshot with earlier ones, and store a note if an alarm is raised.

    A safety snapshot raises none, as it is what a restore replaces, and ends the wait of no note.

    Arguments:
        storage: The storage.
        history: The earlier snapshots; `None`: nothing is compared.
        now: The new manifest.
        losses: What a cluster may lose between two snapshots.
        names: The names of the storage's notes.
    """
    if history is None or now.purpose == SAFETY:
        return GuardResult(now)
    point = Point.of(now)
    found = judge(history.points, point, losses, history.restored)
    beginning = found.alarm or (found.restored and found.is_fine)
    inherited = history.points[0].history if history.points else ""
    now = replace(now, history=now.snapshot if beginning else inherited)
    jump = explain_jump(history.points, point)
    if history.alarm is not None and not jump:
        return GuardResult(now, str(history.alarm), warnings=history.warnings)
    # A jump is found once, so that it is also told of where there is an alarm.
    first = history.alarm or Alarm(found.alarm or history.flood, now.snapshot, now.taken_at)
    if reason := "; ".join(filter(None, (first.reason, jump))):
        raised = replace(first, reason=reason)
        if names.guard is not None:
            await storage.put(names.guard, BytesSource(raised.to_json()))
        return GuardResult(now, str(raised), warnings=history.warnings)
    if history.restored and Point.after(history.restored).span.precedes(point.span):
        with suppress(StorageError):  # harmless: the next run tries again
            await storage.delete(names.restored)
    return GuardResult(now, unsettled=found.unsettled, warnings=history.warnings)


async def admit(proofs: Proofs, stored: Sequence[Stored], pace: Pace) -> None:
    """Add all stored snapshots to the newest manifests, so that none counts as unexplained.

    Signed manifests are not changed. This needs the permission to replace objects.

    Arguments:
        proofs: The manifests of the storage.
        stored: The snapshots there, newest first.
        pace: How many may come.
    """
    known = await proofs.known(stored)
    marked = await beside_loop(partial(fingerprinted, stored), len(stored))
    for witness in await proofs.witnesses(stored, pace.witnesses + _ADMITTED):
        if await beside_loop(partial(witness.never_saw, marked), len(marked)):
            told = replace(witness.manifest, known=known)
            name = manifest_name(witness.stored.name)
            await proofs.storage.put(name, BytesSource(told.to_json()))


async def admit_copies(
    proofs: Proofs, stored: Sequence[Stored], copies: Sequence[Stored], pace: Pace
) -> None:
    """Add snapshots that are copied here to the newest manifests, and no others.

    Signed manifests are not changed. This needs the permission to replace objects.

    Arguments:
        proofs: The manifests of the storage.
        stored: The snapshots there, newest first.
        copies: Those that are there already or will be copied.
        pace: How many may come.
    """
    every = newest_first({one.name: one for one in (*stored, *copies)}.values())
    marked = await beside_loop(partial(fingerprinted, every), len(every))
    names = frozenset(one.name for one in copies)
    for witness in await proofs.witnesses(stored, pace.witnesses + _ADMITTED):
        told = await beside_loop(partial(witness.tell_of, marked, names), len(marked))
        if told is not None:
            name = manifest_name(witness.stored.name)
            await proofs.storage.put(name, BytesSource(told.to_json()))


async def _points(proofs: Proofs, stored: Sequence[Stored], now: Span) -> list[Point]:
    """Read manifests back to one that is certainly earlier, and those that may hold more.

    A safety snapshot may be of a wiped cluster, and raised no alarm: compared with it, the next
    snapshot of that cluster would be as expected.
    """
    points: list[Point] = []
    credible = partial(proofs.credible, safety=False)  # whatever their notes say
    async for one, manifest in credible(stored):
        points.append(point := _point(proofs, manifest))
        if point.span.precedes(now):
            doubtful = await beside_loop(partial(_suspects, stored, one, point), len(stored))
            more = [_point(proofs, found) async for _, found in credible(doubtful)]
            return [*points, *(found for found in more if found.history == point.history)]
        if len(points) == _TRIED:
            break
    return points


def _point(proofs: Proofs, manifest: Manifest) -> Point:
    """Convert a manifest to a point of history; with a key its counts must be signed."""
    point = Point.of(manifest)
    if proofs.keys is not None and not proofs.keys.has_signed_counts(manifest):
        return replace(point, counts=None)
    return point


def _suspects(stored: Sequence[Stored], anchor: Stored, point: Point) -> list[Stored]:
    older = [other for other in stored[stored.index(anchor) + 1 :] if other.verified]
    return suspects(older, point)


def _list_warnings(stored: Sequence[Stored]) -> tuple[str, ...]:
    """List warnings about snapshots that do not count."""
    empty = [one.name for one in stored if one.broken and not one.condemned]
    broken = [one.name for one in stored if one.condemned]
    mismatched = [one.name for one in stored if one.mismatched and not one.broken]
    told = []
    if empty:
        told.append(
            f"empty, not counted for retention: {enumerate_names(empty)}"
            " (prune --broken deletes what is still empty)"
        )
    if broken:
        told.append(
            f"marked as broken, not counted for retention: {enumerate_names(broken)}"
            " (verify reads them again; prune --broken deletes what is broken)"
        )
    if mismatched:
        told.append(
            f"whole, but not what their manifests describe, not counted for retention:"
            f" {enumerate_names(mismatched)} (find out who replaced them)"
        )
    return tuple(told)
