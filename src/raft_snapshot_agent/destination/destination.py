"""A storage and its configuration: retention, names, signing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial

from raft_snapshot_agent.core.history.clock_jumps import count_deletes
from raft_snapshot_agent.core.history.flood import Pace, explain_flood
from raft_snapshot_agent.core.history.guard import Losses
from raft_snapshot_agent.core.history.retention import Plan, Retention, plan
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT, Layout, Naming
from raft_snapshot_agent.core.snapshots.note_names import NoteNames
from raft_snapshot_agent.core.snapshots.notes import Alarm, Restored
from raft_snapshot_agent.core.snapshots.restored_note import write_restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import NO_TIME, Instant, Manifest, Sidecar, Stored
from raft_snapshot_agent.destination.deletion import Deleting, Pruned, list_warnings
from raft_snapshot_agent.destination.guard import (
    GuardResult,
    History,
    admit,
    compare_and_record,
    list_present,
    read_history,
)
from raft_snapshot_agent.destination.listing import Listing, listed, static
from raft_snapshot_agent.destination.proofs import Proofs
from raft_snapshot_agent.destination.refused_deletes import Refusals
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.destination.sidecars import read_if_any, read_manifest
from raft_snapshot_agent.destination.verdicts import Verdicts
from raft_snapshot_agent.errors import LoginRefused, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage, sizes_of
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import beside_loop

_REVIEWED = 3
"""Maximum broken snapshots that one run verifies again; each is read twice."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A storage and its configuration: retention, names, signing."""

    name: str
    storage: Storage
    retention: Retention = field(default_factory=Retention)
    zone: tzinfo = UTC
    """Time zone in which the days of `retention` begin."""
    naming: Naming = AGENT
    static_name: str | None = None
    with_manifest: bool = True
    timing: ScheduleSpec | None = None
    """Its own schedule, if any."""
    required: bool = True
    prunes: bool = True
    """Whether the agent deletes old snapshots there, as `prune` in the configuration says."""
    losses: Losses = field(default_factory=Losses)
    """Losses of a cluster above which retention is suspended."""
    reopen: Callable[[], Storage] | None = None
    """Opens the storage again with separate connections."""
    refusals: Refusals = field(default_factory=Refusals)
    signing: Callable[[], SigningKeys] | None = None
    """Reads the signing keys; `None`: unsigned manifests count."""
    pace: Pace | None = None
    """How many snapshots may come; `None`: unknown and unlimited."""
    purpose: str = ""
    """The purpose of what is stored now, for its manifest."""
    told: Remembered = field(default_factory=Remembered)
    """Cache of manifests."""
    cluster: str = ""
    """Name of its cluster, for commands to paste; empty if there is only one."""

    @property
    def keys(self) -> SigningKeys | None:
        """The signing keys, read again each time, as they may have been rotated."""
        return None if self.signing is None else self.signing()

    @property
    def proofs(self) -> Proofs:
        """Reader of its manifests, which judges what they prove."""
        naming = self.naming if self.static_name is None else None
        return Proofs(self.storage, naming, self.keys, self.told)

    @property
    def notes(self) -> NoteNames:
        """The names of its notes, which no other storage in the same folder has."""
        return NoteNames.of(self.static_name)

    @property
    def is_write_only(self) -> bool:
        """Whether its credentials may only write, as those that may not prune are taken to be."""
        return not self.prunes

    @property
    def replaces(self) -> bool:
        """Whether a new snapshot may get the name of an older one."""
        return self.static_name is not None or isinstance(self.naming, Layout)

    async def stored(self, sizes: Mapping[str, int] | None = None) -> tuple[Stored, ...]:
        """List its snapshots, newest first; `sizes` is its listing, if it was just read."""
        return (await self._listing(sizes)).stored

    async def current(self) -> tuple[Stored, ...]:
        """List its snapshots; with a signing key, only a signed one counts as the newest.

        Without a key a manifest proves no time, as anyone with write access could have written it.
        Neither is anything proved if manifests cannot be read.
        """
        stored = await self.stored()
        if self.static_name is not None or self.signing is None:
            return stored
        try:
            return await self.proofs.current(stored)
        except LoginRefused:
            raise
        except StorageError:
            return stored

    async def find(self, name: str, sizes: Mapping[str, int] | None = None) -> Stored | None:
        """Find an object by its name, whether it is a snapshot's name or not."""
        sizes = await sizes_of(self.storage) if sizes is None else sizes
        known = {one.name: one for one in (await self._listing(sizes)).stored}
        if name in sizes and name not in known:
            return Stored(name, NO_TIME, sizes[name])
        return known.get(name)

    @property
    def verdicts(self) -> Verdicts:
        """The verdicts on its snapshots."""
        return Verdicts(self.storage, self.naming, self.static_name, self.reopen, self.signing)

    async def manifest(self, name: str) -> Manifest | None:
        """Read the manifest of a snapshot; `None` if there is none."""
        return await read_manifest(self.storage, name)

    async def sweep(self, dead_runs: frozenset[str]) -> None:
        """Remove incomplete files of crashed runs, if the credentials allow it."""
        if not self.is_write_only:
            await self.storage.sweep(Leftovers(dead_runs, self.naming, self.static_name))

    async def history(
        self, began: Instant, taken_at: datetime, sizes: Mapping[str, int] | None = None
    ) -> History | None:
        """Read what a new snapshot is compared with; `None` if none is compared.

        Arguments:
            began: Monotonic time just before the new snapshot was requested.
            taken_at: The same by the wall clock.
            sizes: Its listing, if it was just read.
        """
        if self.is_write_only or not self.with_manifest:
            return None
        listing = await self._listing(sizes)
        stored = listing.stored
        found = await read_history(self.proofs, listing, self.notes, began, taken_at)
        if self.static_name is not None or (self.keys is None and self.retention.keeps_all):
            return found  # nothing is ever deleted here
        found = replace(found, known=await self.proofs.known(stored))
        return replace(found, flood=await self._flood(stored, taken_at))

    async def _flood(self, stored: Sequence[Stored], now: datetime) -> str:
        """Describe an unexplained number of snapshots, unless a key tells which ones count."""
        if self.signing is not None or self.pace is None:
            return ""
        explained = partial(self.pace.explains, now=now)
        witnesses = await self.proofs.witnesses(stored, self.pace.witnesses, explained)
        counted = partial(explain_flood, stored, witnesses, self.pace, now)
        return await beside_loop(counted, len(stored))

    async def judge_and_sign(self, history: History | None, now: Manifest) -> GuardResult:
        """Compare a new snapshot with the history of its storage.

        Arguments:
            history: The earlier snapshots.
            now: The new manifest, not stored yet, so that a crash in between loses no alarm.
        """
        now = replace(now, purpose=self.purpose, known=history.known if history else now.known)
        found = await compare_and_record(self.storage, history, now, self.losses, self.notes)
        keys = self.keys
        return replace(found, manifest=keys.sign(found.manifest)) if keys else found

    async def alarm(self) -> Alarm | None:
        """Read why retention is suspended; `None` if it is not."""
        if (name := self.notes.guard) is None:
            return None
        text = await read_if_any(self.storage, name)
        return None if text is None else Alarm.from_json(text)

    async def acknowledge(self) -> Alarm | None:
        """Resume retention; return why it was suspended."""
        if (name := self.notes.guard) is None or (found := await self.alarm()) is None:
            return None
        if self.keys is None and self.pace is not None:
            await admit(self.proofs, await self.stored(), self.pace)
        await self.storage.delete(name)
        return found

    async def expect(self, restored: Restored) -> None:
        """Write a note of a restore for the guard of the next snapshot."""
        note = write_restored(restored, self.keys)
        await self.storage.put(self.notes.restored, BytesSource(note))

    async def mark(self, name: str, beside: Sidecar, why: str) -> None:
        """Write a note beside a snapshot; what was typed in another encoding becomes `?`."""
        text = f"{why}\n".encode(errors="replace")
        await self.storage.put(beside.name_for(name), BytesSource(text))

    async def unmark(self, name: str, beside: Sidecar) -> None:
        """Delete the note."""
        await self.storage.delete(beside.name_for(name))

    async def prune(
        self,
        now: datetime,
        listing: Listing | None = None,
        /,
        *,
        dry_run: bool = False,
        acknowledged: bool = False,
        broken: bool = False,
        everything: bool = False,
    ) -> Pruned:
        """Delete what retention does not keep.

        Arguments:
            now: The present time.
            dry_run: Only plan.
            acknowledged: Whether to plan as if the alarm were acknowledged.
            broken: Whether to delete every broken snapshot, however recently it was marked.
            everything: Whether to delete in one run what would be spread over several.
            listing: Its listing, if it was just read.

        Raises:
            StorageError: It could not be listed, or the snapshots to keep could not be proved.
        """
        listing = listing or await self._listing()
        guard = self.notes.guard
        alarm = None if acknowledged or guard not in listing.notes else await self.alarm()
        forbidden = alarm.describe_remedy(self.cluster) if alarm else ""
        stored = await self.verdicts.dated(listing.stored)
        rules, most = self.retention, None if everything else self._most(stored, now)

        def planned(stored: Sequence[Stored], forbidden: str = forbidden) -> Plan:
            return plan(
                stored, rules, now, self.zone, forbidden, ignore_keep_broken=broken, most=most
            )

        found = await self.proofs.settled(stored, planned)
        if found.delete and not acknowledged and (why := await self._flood(stored, now)):
            newest = next(iter(list_present(stored, now) or stored))
            alarm = Alarm(why, newest.name, f"{now:%Y-%m-%dT%H:%M:%SZ}")
            found = planned(stored, alarm.describe_remedy(self.cluster))
            if guard and not dry_run:
                await self.storage.put(guard, BytesSource(alarm.to_json()))
        review = found.review if broken else found.review[:_REVIEWED]
        done = Pruned(found, alarm="" if alarm is None else str(alarm), reviews=len(review))
        if found.refused or dry_run:
            return replace(done, warnings=list_warnings(found, self.retention))
        deleting = Deleting(self.storage, self.verdicts, self.refusals)
        past = await deleting.delete(found.delete, now)
        reviewed = await deleting.review(review, now, ignore_keep_broken=broken)
        more = list_warnings(found, self.retention)
        return replace(
            done,
            deleted=(*past.deleted, *reviewed.deleted),
            warnings=(*past.warnings, *reviewed.warnings, *more),
            undeleted={**past.undeleted, **reviewed.undeleted},
        )

    def _most(self, stored: Sequence[Stored], now: datetime) -> int | None:
        """Return the maximum number of deletions in one run; `None` if there is none."""
        if self.pace is None or self.retention.max_deletes is not None:
            return None
        return count_deletes(stored, self.pace.schedule, now)

    async def _listing(self, sizes: Mapping[str, int] | None = None) -> Listing:
        sizes = await sizes_of(self.storage) if sizes is None else sizes
        found = await listed(sizes, self.naming, self.notes)
        if self.static_name is None:
            return found
        if self.static_name not in sizes:
            return replace(found, stored=())
        manifest = await self.manifest(self.static_name)
        return replace(found, stored=(static(self.static_name, sizes, manifest),))
