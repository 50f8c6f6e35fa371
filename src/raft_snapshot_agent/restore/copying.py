"""Copy snapshots from one storage to another, unchanged, and verify each.

Names, manifests, holds and results of drills are copied unchanged. Retention is not applied: the
agent that takes snapshots there does that.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from raft_snapshot_agent.core.advice import command
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar, Snapshot, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import admit_copies
from raft_snapshot_agent.destination.sidecars import read_if_any, read_small
from raft_snapshot_agent.destination.verification import Expected, Reading, SnapshotState, compare
from raft_snapshot_agent.errors import (
    AgentError,
    LoginRefused,
    NotThereYet,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.restore.fetching import Fetched, fetch_copy
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.storage.base import BytesSource

_UNAVAILABLE = 3
"""Consecutive failures after which an unreachable storage is not tried further."""
_FLOOD = "the flood guard may take the copies for an attack (after looking: {})"
_NOT_READ = "not read: its size and manifest are the same"


class CopyState(StrEnum):
    """The state of a snapshot to copy."""

    COPIED = "copied"
    THERE = "there already"
    PLANNED = "would be copied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result for one snapshot."""

    stored: Stored
    state: CopyState
    detail: str = ""
    error: AgentError | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """Copies from one storage to another; skips snapshots that are already there."""

    source: Destination
    target: Destination
    spool: Path
    """The folder for a snapshot during verification and upload."""
    reads: bool = False
    """Whether to read what seems to be there, to replace it if it is broken."""

    async def plan(self, readers: Sequence[StoredReader]) -> AsyncIterator[CopyResult]:
        """Return what would be copied, without reading a snapshot.

        Raises:
            StorageError: The target cannot be listed.
        """
        there = await self._list_target()
        for reader in readers:
            yield await self._plan_one(reader.stored, there.get(reader.stored.name))

    async def run(self, readers: Sequence[StoredReader]) -> AsyncIterator[CopyResult]:
        """Copy snapshots one after the other; a failure does not stop the others.

        Raises:
            StorageError: The target cannot be listed.
        """
        there = await self._list_target()
        failures: list[AgentError] = []
        for reader in readers:
            one = reader.stored
            if len(failures) >= _UNAVAILABLE:
                why = StorageUnavailable(f"it was not tried: {failures[-1].message}")
                yield CopyResult(one, CopyState.FAILED, error=why)
                continue
            try:
                yield await self._copy(reader, there.get(one.name))
                failures = []
            except AgentError as error:
                is_gone = isinstance(error, StorageUnavailable | LoginRefused)
                failures = [*failures, error] if is_gone else []
                yield CopyResult(one, CopyState.FAILED, error=error)

    async def admit(self, readers: Sequence[StoredReader]) -> str:
        """Add the copies to the target's own manifests, so that the guard raises no alarm.

        It is called before and after copying, as a run in between sees only some of them.

        Returns:
            Why that failed; empty: it succeeded.

        Raises:
            StorageError: The target cannot be listed.
        """
        if self.target.signing is not None or self.target.pace is None:
            return ""
        copies = [reader.stored for reader in readers]
        there = (await self._list_target()).values()
        try:
            await admit_copies(self.target.proofs, [*there], copies, self.target.pace)
        except StorageError as error:
            mend = command("prune --acknowledge", self.target.cluster)
            return f"{self.target.name}: {_FLOOD.format(mend)}: {error}"
        return ""

    async def describe_uncounted(self, names: Collection[str]) -> str:
        """Return a warning of copies that do not count in the target; empty: all do.

        With a key, unsigned ones count only if they were there before its first signed one.
        """
        if self.target.signing is None:
            return ""
        proofs = self.target.proofs
        try:
            there = await self._list_target()
            judge = await proofs.judge([*there.values()])
            copied = [one for name, one in there.items() if name in names]
            doubted = [one.name for one in await proofs.worth(judge, copied) if one.doubt]
        except StorageError as error:
            return f"{self.target.name}: not known whether the copies count there: {error}"
        if not doubted:
            return ""
        return (
            f"{self.target.name}: does not count for retention there, and is never deleted by it:"
            f" {enumerate_names(doubted)} (unsigned ones count only if they are copied before the"
            " first signed one is there; prune --dry-run says why)"
        )

    async def _list_target(self) -> Mapping[str, Stored]:
        try:
            return {one.name: one for one in await self.target.stored()}
        except NotThereYet:
            return {}

    async def _plan_one(self, one: Stored, there: Stored | None) -> CopyResult:
        if there is not None and await self._is_complete(one, there):
            return CopyResult(one, CopyState.THERE, "would be read" if self.reads else _NOT_READ)
        detail = "" if there is None else "what has that name there would be read and compared"
        return CopyResult(one, CopyState.PLANNED, detail)

    async def _copy(self, reader: StoredReader, there: Stored | None) -> CopyResult:
        one = reader.stored
        complete = there is not None and await self._is_complete(one, there)
        found = None if complete and not self.reads else await self._read_target(there)
        if complete and (found is None or found.state is SnapshotState.WHOLE):
            await self._take_hold(one, there)
            if there is not None and not there.drilled:
                await self._take_drill(one)
            return CopyResult(one, CopyState.THERE, _NOT_READ if found is None else "read: whole")
        async with fetch_copy(reader, self.spool) as got:
            if found is not None and found.sha256 == got.snapshot.sha256:
                detail = "its archive was there already, and is whole"
                await self._take_hold(one, there)
            elif found is None or found.state is SnapshotState.BROKEN:
                detail = "" if found is None else f"what was there was broken: {found.error}"
                await self._put_archive(one, there, got)
            else:
                raise self._name_taken(one)
            detail = await self._put_manifest(one, got.snapshot) or detail
        await self._forget(one.name, Sidecar.BROKEN, Sidecar.MISMATCH, there=there)
        if there is not None:
            with suppress(StorageError):  # the next scrub reads what it found damaged again
                await self.target.verdicts.replace_finding(one.name, None, datetime.now(UTC))
        await self._take_drill(one)
        return CopyResult(one, CopyState.COPIED, detail)

    async def _is_complete(self, one: Stored, there: Stored) -> bool:
        """Return whether the target has it complete: its manifest, written last, is there."""
        if not (one.verified and there.verified) or not there.is_counted or one.size != there.size:
            return False
        told = [await place.manifest(one.name) for place in (self.source, self.target)]
        facts = {manifest and (manifest.sha256, manifest.size) for manifest in told}
        return len(facts) == 1 and None not in facts

    async def _read_target(self, there: Stored | None) -> Reading | None:
        """Read the object of this name in the target; `None` if it is missing or empty.

        Raises:
            AgentError: It could not be verified.
        """
        if there is None or not there.size:
            return None
        found = await self.target.verdicts.judge(there)
        if found.state is SnapshotState.UNREADABLE:
            raise found.error or StorageError(f"{there.name} cannot be read there")
        return found

    def _name_taken(self, one: Stored) -> StorageError:
        where = self.target.storage.location(one.name)
        return StorageError(
            f"{where} is another whole snapshot of that name, and is not replaced",
            hint="compare them with diff; delete that one to have it replaced",
        )

    async def _put_archive(self, one: Stored, there: Stored | None, got: Fetched) -> None:
        """Store the archive, after the notes that protect it from being pruned at once."""
        if there is not None:
            await self._forget(one.name, Sidecar.MANIFEST, Sidecar.DRILL, there=there)
        await self._take_hold(one, there)
        try:
            size = await self.target.storage.put(one.name, got.spool)
            self._require_size(one.name, size, got.snapshot)
        except BaseException:
            if one.held and there is None:
                with suppress(StorageError):
                    await self.target.unmark(one.name, Sidecar.HOLD)
            raise

    def _require_size(self, name: str, size: int, snapshot: Snapshot) -> None:
        if size != snapshot.size:
            raise StorageError(
                f"{self.target.storage.location(name)} holds {size} bytes, not the"
                f" {snapshot.size} sent",
                hint="it has no manifest, and the next copy reads it; check the storage's log",
            )

    async def _put_manifest(self, one: Stored, snapshot: Snapshot) -> str:
        """Store the manifest unchanged; return a warning, if any."""
        if not one.verified:
            return ""
        text = await read_small(self.source.storage, manifest_name(one.name))
        try:
            manifest = Manifest.from_json(text)
        except ValueError:
            return "its manifest is damaged and stays behind: it counts as unverified"
        compare(snapshot, Expected(manifest=manifest))
        if not manifest.signature and self.target.signing is None:
            text = _without_known(text)
        await self.target.storage.put(manifest_name(one.name), BytesSource(text))
        return ""

    async def _take_hold(self, one: Stored, there: Stored | None) -> None:
        """Copy the hold, unless the target has its own."""
        if one.held and not (there is not None and there.held):
            await self._take_note(one.name, Sidecar.HOLD)

    async def _take_drill(self, one: Stored) -> None:
        """Copy the result of a drill, if it belongs to this snapshot."""
        if one.drilled:
            await self._take_note(one.name, Sidecar.DRILL)

    async def _take_note(self, name: str, beside: Sidecar) -> None:
        text = await read_if_any(self.source.storage, beside.name_for(name))
        if text is None:  # deleted in the meantime
            return
        if beside is not Sidecar.DRILL or DrillNote.from_json(text, name) is not None:
            await self.target.storage.put(beside.name_for(name), BytesSource(text))

    async def _forget(self, name: str, *beside: Sidecar, there: Stored | None) -> None:
        """Delete manifest and notes of a replaced snapshot, as they do not match the new one."""
        if there is None:
            return
        lies = {
            Sidecar.MANIFEST: there.verified,
            Sidecar.DRILL: there.drilled,
            Sidecar.BROKEN: there.condemned,
            Sidecar.MISMATCH: there.mismatched,
        }
        for one in beside:
            if lies[one]:
                await self.target.storage.delete(one.name_for(name))


def _without_known(text: bytes) -> bytes:
    """Remove a manifest's list of other snapshots, which are those of the source.

    The list is not signed. Fields of later versions are kept.
    """
    fields = read_json(text)
    if not fields.get("known"):
        return text
    return (json.dumps(fields | {"known": ""}, indent=2) + "\n").encode()
