"""Delete snapshots, each with its manifest and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.history.retention import NEWEST, Plan, Retention
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination.refused_deletes import Refusals
from raft_snapshot_agent.destination.sidecars import read_if_any
from raft_snapshot_agent.destination.verdicts import Verdicts
from raft_snapshot_agent.destination.verification import SnapshotState
from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage

_UNAVAILABLE = 3
"""Failed deletes after which an unreachable storage is not tried further."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of retention in one storage."""

    plan: Plan
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    undeleted: Mapping[str, int] = field(default_factory=dict)
    """How many snapshots could not be deleted, by the warning that tells of them."""
    alarm: str = ""
    """Why nothing is deleted until an operator acknowledges it."""
    reviews: int = 0
    """How many snapshots marked as broken are verified again now, and deleted if broken."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of snapshots that were to be deleted."""

    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    undeleted: Mapping[str, int] = field(default_factory=dict)
    """How many could not be deleted, by the warning that tells of them."""


@dataclass(frozen=True, slots=True)
class Deleting:
    """Deletes in one storage, and remembers which deletes were refused."""

    storage: Storage
    verdicts: Verdicts
    refusals: Refusals

    async def delete(self, stored: Sequence[Stored], now: datetime) -> Deletion:
        """Delete what may be tried now; return one warning about the rest."""
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
        undeleted = {
            **self.refusals.among(one.name for one in stored if one.name not in deleted),
            **failed,
        }
        if not undeleted:
            return Deletion((*deleted,))
        name, why = next(iter(undeleted.items()))
        others = " and others are" if len(undeleted) > 1 else " is"
        warning = f"{name}{others} not deleted: {why}"
        return Deletion((*deleted,), (warning,), {warning: len(undeleted)})

    async def _remove(self, stored: Stored) -> None:
        """Delete a snapshot; one that the storage refuses to delete keeps its manifest.

        The manifest goes first: a crash leaves a snapshot, and no orphaned files.
        """
        manifest = await self._remove_manifest(stored.name) if stored.verified else None
        try:
            await self.storage.delete(stored.name)
        except StorageUnavailable:
            raise  # it may be deleted
        except StorageError:  # such as a hold on this object alone
            if manifest is not None:
                with suppress(StorageError):
                    await self.storage.put(manifest_name(stored.name), BytesSource(manifest))
            raise
        for note in _list_notes(stored):
            await self.storage.delete(note)

    async def _remove_manifest(self, name: str) -> bytes | None:
        """Delete a manifest; return its content, if it can be read."""
        content = None
        try:
            content = await read_if_any(self.storage, manifest_name(name))
        except StorageUnavailable:
            raise
        except StorageError:  # to delete it does not need the permission to read it
            pass
        await self.storage.delete(manifest_name(name))
        return content

    async def review(
        self, stored: Iterable[Stored], now: datetime, *, ignore_keep_broken: bool
    ) -> Deletion:
        """Verify again what is marked as broken; delete it, or return a warning of each."""
        deleted: list[str] = []
        warnings: list[str] = []
        undeleted: dict[str, int] = {}
        for one in stored:
            try:
                said = await self._review(one, now, ignore_keep_broken=ignore_keep_broken)
            except StorageError as error:
                said = f"{one.name} is broken, but was not deleted: {error}"
                undeleted[said] = 1
            if said:
                warnings.append(said)
            else:
                deleted.append(one.name)
        return Deletion((*deleted,), (*warnings,), undeleted)

    async def _review(self, one: Stored, now: datetime, *, ignore_keep_broken: bool) -> str:
        """Verify a snapshot again; delete it, or return why it is still there.

        Raises:
            StorageError: It is broken, but could not be deleted.
        """
        if not self.refusals.is_due(one.name, now):
            raise StorageError(self.refusals.why(one.name))
        try:
            verdict = await self.verdicts.judge(one)
            if verdict.state is SnapshotState.BROKEN and (
                ignore_keep_broken or one.broken_since is not None
            ):
                await self._remove(one)
                return ""
            await self.verdicts.remember(one, verdict, now)
        except StorageError as error:
            self.refusals.note(one.name, str(error), now)
            raise
        if verdict.state is SnapshotState.WHOLE:
            return f"{one.name} was marked as broken, but is whole: it counts again"
        return f"{one.name} was marked as broken: {verdict.error}"


def list_warnings(plan: Plan, policy: Retention) -> tuple[str, ...]:
    """List warnings about a plan, in the same words in every run until they are resolved."""
    if plan.refused:
        return (plan.refused,)
    said = []
    if doubted := [one.name for one in plan.keep if one.doubt]:
        names = enumerate_names(doubted)
        said.append(f"in doubt, not counted for retention: {names} (why: prune --dry-run)")
    if plan.postponed:
        why = (
            "more are past retention than the schedule explains: they are deleted in the next runs"
        )
        said.append(f"{why} (at once: prune --all; more in each: retention.max_deletes)")
    return (*said, *_list_cramped(plan, policy))


def _list_cramped(plan: Plan, policy: Retention) -> tuple[str, ...]:
    """Warn if a single snapshot is larger than the limit for all."""
    newest = next((one for one, why in plan.keep.items() if NEWEST in why), None)
    if newest is None or not policy.max_space or newest.size <= policy.max_space:
        return ()
    why = (
        f"max_space {policy.max_space} is less than the size of one snapshot ({newest.size} bytes)"
    )
    return (f"{why}: only protected ones are kept (raise retention.max_space)",)


def _list_notes(stored: Stored) -> list[str]:
    """List the notes beside a snapshot."""
    return [
        beside.name_for(stored.name)
        for beside, lies in (
            (Sidecar.BROKEN, stored.condemned),
            (Sidecar.MISMATCH, stored.mismatched),
            (Sidecar.DRILL, stored.drilled),
        )
        if lies
    ]
