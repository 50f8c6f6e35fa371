"""A storage and what it is to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo

from raft_snapshot_agent import reading
from raft_snapshot_agent.core.guard import GUARD_NAME, RESTORED_NAME, Alarm, Restored
from raft_snapshot_agent.core.naming import AGENT, Layout, Naming, catalogue, manifest_name
from raft_snapshot_agent.core.notes import moment
from raft_snapshot_agent.core.retention import Plan, Retention, plan
from raft_snapshot_agent.core.snapshot import Beside, Instant, Manifest, Stored
from raft_snapshot_agent.core.timetable import Timing
from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.guarding import History, Watched, look, watch
from raft_snapshot_agent.reading import State
from raft_snapshot_agent.refusals import Refusals
from raft_snapshot_agent.storage.base import Content, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.verdicts import Verdicts

_REVIEWED = 3
"""Broken snapshots that one run reads again: each costs twice its size."""
_UNAVAILABLE = 3
"""Deletes after which a storage that is not reachable is left alone."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention did to one storage."""

    plan: Plan
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many snapshots a warning is about, where that is not in its words."""
    alarm: str = ""
    """Why nothing is deleted until an operator says so."""


@dataclass(frozen=True, slots=True)
class Place:
    """A storage and what it is to keep."""

    name: str
    storage: Storage
    retention: Retention = field(default_factory=Retention)
    zone: tzinfo = UTC
    """Where the days of `retention` begin."""
    naming: Naming = AGENT
    static_name: str | None = None
    with_manifest: bool = True
    timing: Timing | None = None
    """Its own, where it has one."""
    required: bool = True
    prunes: bool = True
    """False: the credentials may only write."""
    max_shrink: float = 1.0
    """The share of its size that a cluster may lose before nothing is pruned any more."""
    reopen: Callable[[], Storage] | None = None
    """Opens the storage once more, with connections of its own."""
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def replaces(self) -> bool:
        """Whether a new snapshot may get the name of an older one."""
        return self.with_manifest and (
            self.static_name is not None or isinstance(self.naming, Layout)
        )

    async def stored(self) -> tuple[Stored, ...]:
        """List the snapshots it holds, newest first."""
        return await self._catalogued(await self._sizes())

    async def find(self, name: str) -> Stored | None:
        """Look for what has a name, be it one of a snapshot or not."""
        sizes = await self._sizes()
        known = {one.name: one for one in await self._catalogued(sizes)}
        if name in sizes and name not in known:
            return Stored(name, datetime.min.replace(tzinfo=UTC), sizes[name])
        return known.get(name)

    @property
    def verdicts(self) -> Verdicts:
        """What its snapshots are worth."""
        return Verdicts(self.storage, self.naming, self.static_name, self.reopen)

    async def manifest(self, name: str) -> Manifest | None:
        """Read what lies beside a snapshot; nothing where there is none."""
        return await reading.manifest(self.storage, name)

    async def sweep(self, dead_runs: frozenset[str]) -> None:
        """Remove what crashed runs left half-written, where the credentials allow it."""
        if self.prunes:
            await self.storage.sweep(Leftovers(dead_runs, self.naming, self.static_name))

    # The guard.

    async def history(self, began: Instant, taken_at: datetime) -> History | None:
        """Read what a new snapshot is to be held against; nothing where none is held.

        Arguments:
            began: Just before the server was asked for the new one.
            taken_at: The same by the wall clock.
        """
        if not (self.prunes and self.with_manifest):
            return None
        sizes = await self._sizes()
        stored = await self._catalogued(sizes)
        naming = self.naming if self.static_name is None else None
        return await look(self.storage, stored, frozenset(sizes), naming, began, taken_at)

    async def watch(self, history: History | None, now: Manifest) -> Watched:
        """Hold a new snapshot against the history of its storage.

        Arguments:
            history: What was stored earlier.
            now: Of the new one; it is not stored yet, so that a crash in between forgets nothing.
        """
        keeps_note = self.static_name is None
        return await watch(self.storage, history, now, self.max_shrink, keeps_note=keeps_note)

    async def alarm(self) -> Alarm | None:
        """Read why it is not pruned; nothing where it is."""
        try:
            return Alarm.from_json(await reading.small(self.storage, GUARD_NAME))
        except SnapshotNotFound:
            return None

    async def acknowledge(self) -> Alarm | None:
        """Let it be pruned again; return why it was not."""
        found = await self.alarm()
        if found is not None:
            await self.storage.delete(GUARD_NAME)
        return found

    async def expect(self, restored: Restored) -> None:
        """Leave word of a restore for whoever takes the next snapshot."""
        await self.storage.put(RESTORED_NAME, Content(restored.to_json()))

    async def expect_nothing(self) -> None:
        """Take the word of a restore back that did not come to be."""
        await self.storage.delete(RESTORED_NAME)

    # Notes of an operator's.

    async def mark(self, name: str, beside: Beside, why: str) -> None:
        """Lay a note beside a snapshot."""
        await self.storage.put(beside.name_for(name), Content(f"{why}\n".encode()))

    async def unmark(self, name: str, beside: Beside) -> None:
        """Take the note away."""
        await self.storage.delete(beside.name_for(name))

    # What goes.

    async def prune(
        self,
        now: datetime,
        *,
        dry_run: bool = False,
        acknowledged: bool = False,
        broken: bool = False,
    ) -> Pruned:
        """Delete what it is no longer to keep.

        Arguments:
            now: The present time.
            dry_run: Plan it only.
            acknowledged: Whether an alarm is to be overlooked; for plans.
            broken: Whether to delete all that is broken, whenever it was condemned.

        Raises:
            StorageError: It could not be listed.
        """
        sizes = await self._sizes()
        alarm = None if acknowledged or GUARD_NAME not in sizes else await self.alarm()
        forbidden = f"{alarm}: to go on pruning, prune --acknowledge" if alarm else ""
        stored = await self.verdicts.dated(await self._catalogued(sizes))
        planned = plan(stored, self.retention, now, self.zone, forbidden, at_once=broken)
        done = Pruned(planned, alarm="" if alarm is None else str(alarm))
        if planned.refused:
            return replace(done, warnings=(planned.refused,))
        if dry_run:
            return done
        deleted, warnings, counts = await self._delete(planned.delete, now)
        for one in planned.review if broken else planned.review[:_REVIEWED]:
            gone, said = await self._review(one, now, at_once=broken)
            deleted += [one.name] if gone else []
            warnings += [said] if said else []
        return replace(done, deleted=tuple(deleted), warnings=tuple(warnings), counts=counts)

    async def _delete(
        self, stored: Iterable[Stored], now: datetime
    ) -> tuple[list[str], list[str], dict[str, int]]:
        """Delete what may be tried now; tell in one line what is left."""
        deleted: list[str] = []
        failed: dict[str, str] = {}
        for one in stored:
            if not self.refusals.is_due(one.name, now):
                continue
            if len(failed) >= _UNAVAILABLE:
                failed[one.name] = "it was not tried"
                continue
            try:
                await self._remove(one)
                deleted.append(one.name)
            except StorageError as error:
                if isinstance(error, StorageDenied) and not isinstance(error, LoginRefused):
                    self.refusals.note(one.name, str(error), now)  # such as a lock on the object
                else:
                    failed[one.name] = str(error)
        left = {
            **self.refusals.among(one.name for one in stored if one.name not in deleted),
            **failed,
        }
        if not left:
            return deleted, [], {}
        name, why = next(iter(left.items()))
        others = " and others are" if len(left) > 1 else " is"
        warning = f"{name}{others} not deleted: {why}"
        return deleted, [warning], {warning: len(left)}

    async def _remove(self, stored: Stored) -> None:
        for name in _with_it(stored):
            await self.storage.delete(name)

    async def _review(self, one: Stored, now: datetime, *, at_once: bool) -> tuple[bool, str]:
        """Read a condemned snapshot again, and delete it only if it is broken by our own word.

        Returns:
            Whether it is gone, and what there is to tell.
        """
        if not self.refusals.is_due(one.name, now):
            return False, f"{one.name} stays, though it is broken: {self.refusals.why(one.name)}"
        try:
            verdict = await self.verdicts.judge(one)
            if verdict.state is State.BROKEN and (at_once or one.broken_since is not None):
                await self._remove(one)
                return True, ""
            await self.verdicts.remember(one, verdict, now)
        except StorageError as error:
            self.refusals.note(one.name, str(error), now)
            return False, f"{one.name} stays, though it is broken: {error}"
        if verdict.state is State.WHOLE:
            return False, f"{one.name} was said to be broken, and is whole: it counts again"
        return False, f"{one.name} was said to be broken: {verdict.error}"

    async def _sizes(self) -> dict[str, int]:
        return {entry.name: entry.size for entry in await self.storage.entries()}

    async def _catalogued(self, sizes: dict[str, int]) -> tuple[Stored, ...]:
        if self.static_name is None:
            return catalogue(sizes.items(), self.naming)
        if self.static_name not in sizes:
            return ()
        manifest = await self.manifest(self.static_name)
        return (_static(self.static_name, sizes, manifest),)


def _with_it(stored: Stored) -> list[str]:
    """Order what goes with a snapshot: a crash in between leaves a snapshot, never an orphan."""
    manifest = [manifest_name(stored.name)] if stored.verified else []
    notes = [
        beside.name_for(stored.name)
        for beside, lies in (
            (Beside.BROKEN, stored.condemned),
            (Beside.MISMATCH, stored.mismatched),
        )
        if lies
    ]
    return [*manifest, stored.name, *notes]


def _static(name: str, sizes: dict[str, int], manifest: Manifest | None) -> Stored:
    """Describe a snapshot whose name tells nothing; without a manifest it counts as ancient."""
    condemned = Beside.BROKEN.name_for(name) in sizes
    taken_at = None if manifest is None else moment(manifest.taken_at)
    if manifest is None or taken_at is None:
        ancient = datetime.min.replace(tzinfo=UTC)
        return Stored(name, ancient, sizes[name], condemned=condemned)
    return Stored(name, taken_at, sizes[name], manifest.index, verified=True, condemned=condemned)
