"""A storage and what it is to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import islice

from raft_snapshot_agent.core.guard import GUARD_NAME, Alarm, alarm
from raft_snapshot_agent.core.naming import AGENT, Layout, Naming, catalogue, manifest_name
from raft_snapshot_agent.core.retention import Plan, Retention, plan
from raft_snapshot_agent.core.snapshot import Beside, Manifest, Stored
from raft_snapshot_agent.core.timetable import Timing
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import Content, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers

_TRIED = 10
"""Manifests that are looked at until one can be read."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention did to one storage."""

    plan: Plan
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


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

    @property
    def replaces(self) -> bool:
        """Whether a new snapshot may get the name of an older one."""
        return self.with_manifest and (
            self.static_name is not None or isinstance(self.naming, Layout)
        )

    async def stored(self) -> tuple[Stored, ...]:
        """List the snapshots it holds, newest first."""
        return await self._catalogued(await self._sizes())

    async def manifest(self, name: str) -> Manifest | None:
        """Read what lies beside a snapshot; nothing where there is none."""
        try:
            return Manifest.from_json(await self._small(manifest_name(name)))
        except (SnapshotNotFound, ValueError):
            return None

    async def newest(self) -> Manifest | None:
        """Read the manifest of the newest snapshot that was proved whole, where that is allowed."""
        if not (self.prunes and self.with_manifest):
            return None
        verified = (one for one in await self.stored() if one.verified and not one.broken)
        for one in islice(verified, _TRIED):  # a damaged manifest must not blind the guard
            if manifest := await self.manifest(one.name):
                return manifest
        return None

    async def sweep(self, dead_runs: frozenset[str]) -> None:
        """Remove what crashed runs left half-written, where the credentials allow it."""
        if self.prunes:
            await self.storage.sweep(Leftovers(dead_runs, self.naming, self.static_name))

    async def prune(self, now: datetime, *, dry_run: bool = False) -> Pruned:
        """Delete what it is no longer to keep at the time `now`.

        Raises:
            StorageError: It could not be listed.
        """
        sizes = await self._sizes()
        planned = plan(
            await self._catalogued(sizes),
            self.retention,
            now,
            self.zone,
            await self._forbidden(sizes),
        )
        if dry_run:
            return Pruned(planned)
        deleted, warnings = [], [planned.refused] if planned.refused else []
        for stored in planned.delete:
            try:
                for name in _with_it(stored):
                    await self.storage.delete(name)
                deleted.append(stored.name)
            except StorageError as error:
                warnings.append(f"{stored.name} is not deleted: {error}")
        return Pruned(planned, tuple(deleted), tuple(warnings))

    async def watch(self, before: Manifest | None, now: Manifest) -> Alarm | None:
        """Stop pruning when a new snapshot looks like another cluster's.

        Arguments:
            before: Of the newest snapshot that was stored earlier.
            now: Of the new one; it is not stored yet, so that a crash in between forgets nothing.
        """
        found = None if before is None else alarm(before, now, self.max_shrink)
        if found is not None and self.static_name is None:
            await self.storage.put(GUARD_NAME, Content(found.to_json()))
        return found

    async def alarm(self) -> Alarm | None:
        """Read why it is not pruned; nothing where it is."""
        try:
            return Alarm.from_json(await self._small(GUARD_NAME))
        except SnapshotNotFound:
            return None

    async def acknowledge(self) -> Alarm | None:
        """Let it be pruned again; return why it was not."""
        found = await self.alarm()
        if found is not None:
            await self.storage.delete(GUARD_NAME)
        return found

    async def mark(self, name: str, beside: Beside, why: str) -> None:
        """Lay a note beside a snapshot."""
        await self.storage.put(beside.name_for(name), Content(f"{why}\n".encode()))

    async def unmark(self, name: str, beside: Beside) -> None:
        """Take the note away."""
        await self.storage.delete(beside.name_for(name))

    async def _sizes(self) -> dict[str, int]:
        return {entry.name: entry.size for entry in await self.storage.entries()}

    async def _catalogued(self, sizes: dict[str, int]) -> tuple[Stored, ...]:
        if self.static_name is None:
            return catalogue(sizes.items(), self.naming)
        if self.static_name not in sizes:
            return ()
        manifest = await self.manifest(self.static_name)
        return (_static(self.static_name, sizes, manifest),)

    async def _forbidden(self, sizes: Iterable[str]) -> str:
        if GUARD_NAME not in sizes:
            return ""
        return f"{await self.alarm()}: to go on pruning, prune --acknowledge"

    async def _small(self, name: str) -> bytes:
        return b"".join([piece async for piece in self.storage.read(name)])


def _with_it(stored: Stored) -> list[str]:
    """Order what goes with a snapshot: a crash in between leaves a snapshot, never an orphan."""
    manifest = [manifest_name(stored.name)] if stored.verified else []
    broken = [Beside.BROKEN.name_for(stored.name)] if stored.condemned else []
    return [*manifest, stored.name, *broken]


def _static(name: str, sizes: dict[str, int], manifest: Manifest | None) -> Stored:
    """Describe a snapshot whose name tells nothing; without a manifest it counts as ancient."""
    condemned = Beside.BROKEN.name_for(name) in sizes
    try:
        taken_at = datetime.fromisoformat(manifest.taken_at if manifest else "")
    except ValueError:
        ancient = datetime.min.replace(tzinfo=UTC)
        return Stored(name, ancient, sizes[name], condemned=condemned)
    index = manifest.index if manifest else None
    return Stored(
        name, taken_at.astimezone(UTC), sizes[name], index, verified=True, condemned=condemned
    )
