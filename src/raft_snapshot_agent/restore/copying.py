"""Fills one storage from another: each snapshot is proved whole on the way, and stays what it was.

Names, manifests, holds and results of drills are taken over as they are. Retention is not applied:
that is for whoever takes snapshots there.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar, Snapshot, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.guard import admit_copies
from raft_snapshot_agent.destination.verification import Expected, Reading, SnapshotState, compare
from raft_snapshot_agent.errors import (
    AgentError,
    LoginRefused,
    NotThereYet,
    SnapshotNotFound,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.restore.nearest import describe_nearest
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.restore.restore import Fetched, fetch_copy
from raft_snapshot_agent.storage.base import BytesSource

_UNAVAILABLE = 3
"""Failures in a row after which a storage that is not reachable is left alone."""
_FLOOD = "the flood guard may take the copies for an attack (after looking, prune --acknowledge)"


class CopyState(StrEnum):
    """What became of a snapshot that is to lie in another storage."""

    COPIED = "copied"
    THERE = "there already"
    PLANNED = "would be copied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What became of one snapshot."""

    stored: Stored
    state: CopyState
    detail: str = ""
    error: AgentError | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """Copies from one storage to another; what is there already and whole is not sent again."""

    source: Destination
    target: Destination
    spool: Path
    """The folder that a snapshot is kept in while it is proved and sent."""

    async def plan(self, readers: Sequence[StoredReader]) -> AsyncIterator[CopyResult]:
        """Tell what would be copied; no snapshot is read.

        Raises:
            StorageError: The target cannot be listed.
        """
        there = await self._list_target()
        for reader in readers:
            yield await self._plan_one(reader.stored, there.get(reader.stored.name))

    async def run(self, readers: Sequence[StoredReader]) -> AsyncIterator[CopyResult]:
        """Copy snapshots one after the other; one that fails costs no other its copy.

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
        """Let the target's own manifests tell of the copies: they are no flood.

        Before they come and after that: a run in between has seen only some of them.

        Returns:
            Why that is not known there; empty: it is.

        Raises:
            StorageError: The target cannot be listed.
        """
        if self.target.signing is not None or self.target.pace is None:
            return ""
        copies = [reader.stored for reader in readers]
        there = (await self._list_target()).values()
        try:
            await admit_copies(self.target.proofs, [*there], copies, self.target.extra)
        except StorageError as error:
            return f"{self.target.name}: {_FLOOD}: {error}"
        return ""

    async def _list_target(self) -> Mapping[str, Stored]:
        try:
            return {one.name: one for one in await self.target.stored()}
        except NotThereYet:
            return {}

    async def _plan_one(self, one: Stored, there: Stored | None) -> CopyResult:
        if there is not None and await self._is_complete(one, there):
            return CopyResult(one, CopyState.THERE)
        detail = "" if there is None else "what has that name there would be read and compared"
        return CopyResult(one, CopyState.PLANNED, detail)

    async def _copy(self, reader: StoredReader, there: Stored | None) -> CopyResult:
        one = reader.stored
        if there is not None and await self._is_complete(one, there):
            if not there.drilled:
                await self._take_drill(one)
            return CopyResult(one, CopyState.THERE)
        found = await self._read_target(there)
        async with fetch_copy(reader, self.spool) as got:
            if found is not None and found.sha256 == got.snapshot.sha256:
                detail = "its archive was there already, and is whole"
            elif found is None or found.state is SnapshotState.BROKEN:
                detail = "" if found is None else f"what was there was broken: {found.error}"
                await self._put_archive(one, there, got)
            else:
                raise self._name_taken(one)
            detail = await self._put_manifest(one, got.snapshot) or detail
        await self._forget(one.name, Sidecar.BROKEN, Sidecar.MISMATCH, there=there)
        await self._take_drill(one)
        return CopyResult(one, CopyState.COPIED, detail)

    async def _is_complete(self, one: Stored, there: Stored) -> bool:
        """Return whether the target holds it whole, as its manifest there says: that comes last."""
        if not (one.verified and there.verified) or not there.counts or one.size != there.size:
            return False
        told = [await place.manifest(one.name) for place in (self.source, self.target)]
        facts = {manifest and (manifest.sha256, manifest.size) for manifest in told}
        return len(facts) == 1 and None not in facts

    async def _read_target(self, there: Stored | None) -> Reading | None:
        """Read what has the name already; nothing: there is nothing, or it is empty.

        Raises:
            AgentError: Nobody knows what it is worth.
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
        """Store the archive, after what keeps it from being pruned the moment it is there."""
        if there is not None:
            await self._forget(one.name, Sidecar.MANIFEST, Sidecar.DRILL, there=there)
        if one.held:
            await self._take_note(one.name, Sidecar.HOLD)
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
                hint="it has no manifest, and the next copy reads it; look at the storage's log",
            )

    async def _put_manifest(self, one: Stored, snapshot: Snapshot) -> str:
        """Store the manifest as it is; return what is to be told of it."""
        if not one.verified:
            return ""
        text = await verification.small(self.source.storage, manifest_name(one.name))
        try:
            manifest = Manifest.from_json(text)
        except ValueError:
            return "its manifest is damaged and stays behind: it counts as unverified"
        compare(snapshot, Expected(manifest=manifest))
        if not manifest.signature and self.target.signing is None:
            text = _without_known(text)
        await self.target.storage.put(manifest_name(one.name), BytesSource(text))
        return ""

    async def _take_drill(self, one: Stored) -> None:
        """Take the result of a drill along, if it is one of this snapshot."""
        if one.drilled:
            with suppress(SnapshotNotFound):  # taken away meanwhile
                await self._take_note(one.name, Sidecar.DRILL)

    async def _take_note(self, name: str, beside: Sidecar) -> None:
        text = await verification.small(self.source.storage, beside.name_for(name))
        if beside is not Sidecar.DRILL or DrillNote.from_json(text, name) is not None:
            await self.target.storage.put(beside.name_for(name), BytesSource(text))

    async def _forget(self, name: str, *beside: Sidecar, there: Stored | None) -> None:
        """Drop what lies beside one that is replaced: it would not describe the new one."""
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


def find_copied(listed: Iterable[Stored], name: str) -> Stored:
    """Find what is to be copied.

    Raises:
        SnapshotNotFound: It is not there.
    """
    known = {one.name: one for one in listed}
    if name in known:
        return known[name]
    hint = f"{describe_nearest(name, known)}list shows what is stored"
    raise SnapshotNotFound(f"no snapshot is called {name}", hint=hint)


def _without_known(text: bytes) -> bytes:
    """Leave out what it tells of others: it saw those of another storage.

    Nobody vouched for it with a key, and fields of later versions stay.
    """
    fields = read_json(text)
    if not fields.get("known"):
        return text
    return (json.dumps(fields | {"known": ""}, indent=2) + "\n").encode()
