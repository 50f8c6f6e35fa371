"""A storage and what it is to keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from raft_snapshot_agent.core.naming import catalogue, manifest_name
from raft_snapshot_agent.core.retention import Plan, Retention, plan
from raft_snapshot_agent.core.snapshot import Manifest, Stored
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import Storage


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
    static_name: str | None = None
    with_manifest: bool = True

    async def stored(self) -> tuple[Stored, ...]:
        """List the snapshots it holds, newest first."""
        sizes = {entry.name: entry.size for entry in await self.storage.entries()}
        if self.static_name is None:
            return catalogue(sizes.items())
        if self.static_name not in sizes:
            return ()
        manifest = await self.manifest(self.static_name)
        return (_static(self.static_name, sizes[self.static_name], manifest),)

    async def manifest(self, name: str) -> Manifest | None:
        """Read what lies beside a snapshot; nothing where there is none."""
        try:
            chunks = [chunk async for chunk in self.storage.read(manifest_name(name))]
            return Manifest.from_json(b"".join(chunks))
        except (SnapshotNotFound, ValueError):
            return None

    async def prune(self, now: datetime, *, dry_run: bool = False) -> Pruned:
        """Delete what it is no longer to keep at the time `now`.

        Raises:
            StorageError: It could not be listed.
        """
        planned = plan(await self.stored(), self.retention, now)
        if dry_run:
            return Pruned(planned)
        deleted, warnings = [], [planned.refused] if planned.refused else []
        for stored in planned.delete:
            try:
                # The manifest first: a crash in between leaves a snapshot, never an orphan.
                if stored.verified:
                    await self.storage.delete(manifest_name(stored.name))
                await self.storage.delete(stored.name)
                deleted.append(stored.name)
            except StorageError as error:
                warnings.append(f"{stored.name} is not deleted: {error}")
        return Pruned(planned, tuple(deleted), tuple(warnings))


def _static(name: str, size: int, manifest: Manifest | None) -> Stored:
    """Describe a snapshot whose name tells nothing; without a manifest it counts as ancient."""
    try:
        taken_at = datetime.fromisoformat(manifest.taken_at if manifest else "")
    except ValueError:
        return Stored(name, datetime.min.replace(tzinfo=UTC), size)
    index = manifest.index if manifest else None
    return Stored(name, taken_at.astimezone(UTC), size, index, verified=True)
