"""The guard of one storage: what a new snapshot is held against, and the notes that it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from raft_snapshot_agent import reading
from raft_snapshot_agent.core.guard import (
    GUARD_NAME,
    RESTORED_NAME,
    Alarm,
    Point,
    Restored,
    Span,
    judge,
    suspects,
    trusted,
)
from raft_snapshot_agent.core.naming import Naming, parse
from raft_snapshot_agent.core.snapshot import Instant, Manifest, Stored
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import Content, Storage

_TRIED = 10
"""Manifests that are read at most."""
_SHOWN = 3
"""Names in a warning."""
_AHEAD = timedelta(minutes=10)
"""What is dated later than that is from the future, and blinds nobody."""


@dataclass(frozen=True, slots=True)
class History:
    """What a new snapshot is held against, and what is wrong with the stored ones."""

    points: tuple[Point, ...] = ()
    alarm: Alarm | None = None
    """Raised earlier, and not acknowledged yet."""
    restored: Restored | None = None
    """A restore by hand since the last snapshot."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """What the guard says of a new snapshot."""

    manifest: Manifest
    """Of the new one, as it is to be stored."""
    alarm: str = ""
    """Why nothing is pruned until an operator says so."""
    unsettled: str = ""
    """Why nothing is pruned this time."""
    warnings: tuple[str, ...] = ()
    """The same from run to run while what they tell of lasts."""

    @property
    def may_prune(self) -> bool:
        return not (self.alarm or self.unsettled)


async def look(
    storage: Storage,
    stored: Sequence[Stored],
    names: frozenset[str],
    naming: Naming | None,
    began: Instant,
    taken_at: datetime,
) -> History:
    """Read what a new snapshot is to be held against.

    Arguments:
        storage: Where it is to be stored.
        stored: The snapshots there, newest first.
        names: Of everything there.
        naming: How snapshots are named there; nothing where one name is for all of them.
        began: Just before the server was asked for the new one.
        taken_at: The same by the wall clock.
    """
    now = Span(began, began, taken_at, taken_at)
    present = [one for one in stored if one.taken_at <= taken_at + _AHEAD]
    points = await _points(storage, present, naming, now)
    alarm = restored = None
    with suppress(SnapshotNotFound):  # taken away meanwhile
        if GUARD_NAME in names:
            alarm = Alarm.from_json(await reading.small(storage, GUARD_NAME))
    with suppress(SnapshotNotFound):
        if RESTORED_NAME in names:
            restored = Restored.from_json(await reading.small(storage, RESTORED_NAME))
    return History(tuple(points), alarm, restored, _told(stored))


async def watch(
    storage: Storage,
    history: History | None,
    now: Manifest,
    max_shrink: float,
    *,
    keeps_note: bool,
) -> Watched:
    """Hold a new snapshot against the others, and leave a note where an alarm is raised.

    Arguments:
        storage: Where it is stored.
        history: What was stored earlier; nothing where no snapshot is held against others.
        now: The new one.
        max_shrink: The share of its size that a cluster may lose from one to the next.
        keeps_note: Whether the alarm lasts until it is acknowledged.
    """
    if history is None:
        return Watched(now)
    point = Point.of(now)
    found = judge(history.points, point, max_shrink, history.restored)
    beginning = found.alarm or (found.restored and found.is_fine)
    inherited = history.points[0].history if history.points else ""
    now = replace(now, history=now.snapshot if beginning else inherited)
    if history.alarm is not None:
        return Watched(now, str(history.alarm), warnings=history.warnings)
    if found.alarm:
        raised = Alarm(found.alarm, now.snapshot, now.taken_at)
        if keeps_note:
            await storage.put(GUARD_NAME, Content(raised.to_json()))
        return Watched(now, str(raised), warnings=history.warnings)
    if history.restored and Point.after(history.restored).span.precedes(point.span):
        with suppress(StorageError):  # it does no harm, and the next run tries again
            await storage.delete(RESTORED_NAME)
    return Watched(now, unsettled=found.unsettled, warnings=history.warnings)


async def _points(
    storage: Storage, stored: Sequence[Stored], naming: Naming | None, now: Span
) -> list[Point]:
    """Read back to the newest that was certainly taken before, and what may hold more than it."""
    verified = [one for one in stored if one.verified]  # whatever notes say of them
    points: list[Point] = []
    async for one, point in _read(storage, verified[:_TRIED], naming):
        points.append(point)
        if not point.span.precedes(now):
            continue
        older = verified[verified.index(one) + 1 :]
        more = [found async for _, found in _read(storage, suspects(older, point), naming)]
        return [*points, *(found for found in more if found.history == point.history)]
    return points


async def _read(
    storage: Storage, listed: Sequence[Stored], naming: Naming | None
) -> AsyncIterator[tuple[Stored, Point]]:
    """Read manifests; one that is damaged, or that lies, must not blind the guard."""
    for one in listed:
        manifest = await reading.manifest(storage, one.name)
        parsed = None if naming is None else parse(one.name, naming)
        if manifest is not None and trusted(manifest, one, parsed):
            yield one, Point.of(manifest)


def _told(stored: Sequence[Stored]) -> tuple[str, ...]:
    """Name those that count for nothing."""
    broken = [one.name for one in stored if one.broken]
    mismatched = [one.name for one in stored if one.mismatched and not one.broken]
    told = []
    if broken:
        told.append(
            f"said to be broken, and counting for no rule: {_named(broken)}"
            " (verify reads them again; prune --broken deletes what is broken)"
        )
    if mismatched:
        told.append(
            f"whole, but not what their manifests describe, and counting for no rule:"
            f" {_named(mismatched)} (find out who replaced them)"
        )
    return tuple(told)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(islice(names, _SHOWN))
    return f"{shown} and {more} more" if more > 0 else shown
