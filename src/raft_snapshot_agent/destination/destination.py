"""A storage and what it is to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import islice

from raft_snapshot_agent.core.history.flood import count_witnesses, explain_flood, explains
from raft_snapshot_agent.core.history.guard import Losses
from raft_snapshot_agent.core.history.retention import Plan, Retention, plan
from raft_snapshot_agent.core.schedules.schedule import Schedule
from raft_snapshot_agent.core.schedules.timetable import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT, Layout, Naming
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, Alarm, Restored
from raft_snapshot_agent.core.snapshots.restored_note import write_restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest, Sidecar, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.deletion import Deleting, told
from raft_snapshot_agent.destination.guard import GuardResult, History, admit, look, watch
from raft_snapshot_agent.destination.listing import Listing, listed, static
from raft_snapshot_agent.destination.proofs import Proofs
from raft_snapshot_agent.destination.refused_deletes import Refusals
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.destination.verdicts import Verdicts
from raft_snapshot_agent.errors import LoginRefused, SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage, sizes_of
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import beside_loop

_REVIEWED = 3
"""Broken snapshots that one run reads again: each costs twice its size."""
_GO_ON = ": to go on pruning, prune --acknowledge"
_LEAST_DELETES = 24
"""As many may go in one run whatever the schedule explains; `max_deletes` sets another number."""


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
    reviews: int = 0
    """How many that are said to be broken are read again now, and go if they are."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A storage and what it is to keep."""

    name: str
    storage: Storage
    retention: Retention = field(default_factory=Retention)
    zone: tzinfo = UTC
    """Where the days of `retention` begin."""
    naming: Naming = AGENT
    static_name: str | None = None
    with_manifest: bool = True
    timing: ScheduleSpec | None = None
    """Its own, where it has one."""
    required: bool = True
    prunes: bool = True
    """False: the credentials may only write."""
    losses: Losses = field(default_factory=Losses)
    """What a cluster may lose before nothing is pruned any more."""
    reopen: Callable[[], Storage] | None = None
    """Opens the storage once more, with connections of its own."""
    refusals: Refusals = field(default_factory=Refusals)
    signing: Callable[[], SigningKeys] | None = None
    """Looks up what the manifests are signed with; nothing: anybody's count."""
    pace: Schedule | None = None
    """How many snapshots are to be expected; nothing: nobody knows, and none are too many."""
    extra: int = 24
    """So many more than that raise no alarm."""
    told: Remembered = field(default_factory=Remembered)
    """Manifests that were read already."""

    @property
    def keys(self) -> SigningKeys | None:
        """What the manifests are signed with, looked up anew: it may have been changed."""
        return None if self.signing is None else self.signing()

    @property
    def proofs(self) -> Proofs:
        """What its listing and its manifests prove."""
        naming = self.naming if self.static_name is None else None
        return Proofs(self.storage, naming, self.keys, self.told)

    @property
    def replaces(self) -> bool:
        """Whether a new snapshot may get the name of an older one."""
        return self.with_manifest and (
            self.static_name is not None or isinstance(self.naming, Layout)
        )

    async def stored(self) -> tuple[Stored, ...]:
        """List the snapshots it holds, newest first."""
        return (await self._listing()).stored

    async def current(self) -> tuple[Stored, ...]:
        """List the same; where there is a key, the newest that counts is one that is signed.

        Without one a manifest proves no time: whoever may write there may write it. Nor is
        anything proved where manifests cannot be read.
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

    async def find(self, name: str) -> Stored | None:
        """Look for what has a name, be it one of a snapshot or not."""
        sizes = await sizes_of(self.storage)
        known = {one.name: one for one in (await self._listing(sizes)).stored}
        if name in sizes and name not in known:
            return Stored(name, datetime.min.replace(tzinfo=UTC), sizes[name])
        return known.get(name)

    @property
    def verdicts(self) -> Verdicts:
        """What its snapshots are worth."""
        return Verdicts(self.storage, self.naming, self.static_name, self.reopen)

    async def manifest(self, name: str) -> Manifest | None:
        """Read what lies beside a snapshot; nothing where there is none."""
        return await verification.manifest(self.storage, name)

    async def sweep(self, dead_runs: frozenset[str]) -> None:
        """Remove what crashed runs left half-written, where the credentials allow it."""
        if self.prunes:
            await self.storage.sweep(Leftovers(dead_runs, self.naming, self.static_name))

    async def history(
        self, began: Instant, taken_at: datetime, sizes: Mapping[str, int] | None = None
    ) -> History | None:
        """Read what a new snapshot is to be held against; nothing where none is held.

        Arguments:
            began: Just before the server was asked for the new one.
            taken_at: The same by the wall clock.
            sizes: What it lists, where that was just asked for.
        """
        if not (self.prunes and self.with_manifest):
            return None
        listing = await self._listing(sizes)
        stored = listing.stored
        found = await look(self.proofs, listing, began, taken_at)
        if self.static_name is not None or (self.keys is None and self.retention.keeps_all):
            return found  # nothing is ever deleted
        found = replace(found, known=await self.proofs.known(stored))
        return replace(found, flood=await self._flood(stored, taken_at))

    async def _flood(self, stored: Sequence[Stored], now: datetime) -> str:
        """Say why more snapshots came than can be explained, where no key tells which count."""
        if self.signing is not None or self.pace is None:
            return ""
        explained = partial(explains, self.pace, now=now, extra=self.extra)
        witnesses = await self.proofs.witnesses(stored, count_witnesses(self.extra), explained)
        counted = partial(explain_flood, stored, witnesses, self.pace, now, self.extra)
        return await beside_loop(counted, len(stored))

    async def watch(self, history: History | None, now: Manifest) -> GuardResult:
        """Hold a new snapshot against the history of its storage.

        Arguments:
            history: What was stored earlier.
            now: Of the new one; it is not stored yet, so that a crash in between forgets nothing.
        """
        keeps_note = self.static_name is None
        found = await watch(self.storage, history, now, self.losses, keeps_note=keeps_note)
        if history is not None:
            found = replace(found, manifest=replace(found.manifest, known=history.known))
        if self.keys is None:
            return found
        return replace(found, manifest=self.keys.sign(found.manifest))

    async def alarm(self) -> Alarm | None:
        """Read why it is not pruned; nothing where it is."""
        try:
            return Alarm.from_json(await verification.small(self.storage, GUARD_NAME))
        except SnapshotNotFound:
            return None

    async def acknowledge(self) -> Alarm | None:
        """Let it be pruned again; return why it was not."""
        found = await self.alarm()
        if found is None:
            return None
        if self.keys is None and self.static_name is None:
            await admit(self.proofs, await self.stored(), self.extra)
        await self.storage.delete(GUARD_NAME)
        return found

    async def expect(self, restored: Restored) -> None:
        """Leave word of a restore for whoever takes the next snapshot."""
        await self.storage.put(RESTORED_NAME, BytesSource(write_restored(restored, self.keys)))

    async def expect_nothing(self) -> None:
        """Take the word of a restore back that did not come to be."""
        await self.storage.delete(RESTORED_NAME)

    # Notes of an operator's.

    async def mark(self, name: str, beside: Sidecar, why: str) -> None:
        """Lay a note beside a snapshot."""
        await self.storage.put(beside.name_for(name), BytesSource(f"{why}\n".encode()))

    async def unmark(self, name: str, beside: Sidecar) -> None:
        """Take the note away."""
        await self.storage.delete(beside.name_for(name))

    # What goes.

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
        """Delete what it is no longer to keep.

        Arguments:
            now: The present time.
            dry_run: Plan it only.
            acknowledged: Whether an alarm is to be overlooked; for plans.
            broken: Whether to delete all that is broken, whenever it was condemned.
            everything: Whether to delete in one run what would take several.
            listing: What it lists, where that was just asked for.

        Raises:
            StorageError: It could not be listed, or what is to stay could not be proved.
        """
        listing = listing or await self._listing()
        alarm = None if acknowledged or GUARD_NAME not in listing.notes else await self.alarm()
        forbidden = f"{alarm}{_GO_ON}" if alarm else ""
        stored = await self.verdicts.dated(listing.stored)
        most = None if everything else self._most(stored, now)

        def planned(stored: Sequence[Stored], forbidden: str = forbidden) -> Plan:
            return plan(
                stored, self.retention, now, self.zone, forbidden, at_once=broken, most=most
            )

        found = await self.proofs.settled(stored, planned)
        if found.delete and not acknowledged and (why := await self._flood(stored, now)):
            alarm = Alarm(why, stored[0].name, f"{now:%Y-%m-%dT%H:%M:%SZ}")
            found = planned(stored, f"{alarm}{_GO_ON}")
            if not dry_run:
                await self.storage.put(GUARD_NAME, BytesSource(alarm.to_json()))
        review = found.review if broken else found.review[:_REVIEWED]
        done = Pruned(found, alarm="" if alarm is None else str(alarm), reviews=len(review))
        if found.refused or dry_run:
            return replace(done, warnings=told(found, self.retention))
        deleting = Deleting(self.storage, self.verdicts, self.refusals)
        deleted, warnings, counts = await deleting.delete(found.delete, now)
        for one in review:
            gone, said = await deleting.review(one, now, at_once=broken)
            deleted += [one.name] if gone else []
            warnings += [said] if said else []
        warnings += told(found, self.retention)
        return replace(done, deleted=tuple(deleted), warnings=tuple(warnings), counts=counts)

    def _most(self, stored: Sequence[Stored], now: datetime) -> int | None:
        """Return how many the schedule explains since the snapshot before the newest."""
        if self.pace is None or self.retention.max_deletes is not None:
            return None
        present = (one for one in stored if one.counts and one.taken_at <= now)
        second = next(islice(present, 1, None), None)
        since = now if second is None else second.taken_at
        return _LEAST_DELETES + self.pace.following(since, now).missed

    async def _listing(self, sizes: Mapping[str, int] | None = None) -> Listing:
        sizes = await sizes_of(self.storage) if sizes is None else sizes
        found = await listed(sizes, self.naming)
        if self.static_name is None:
            return found
        if self.static_name not in sizes:
            return replace(found, stored=())
        manifest = await self.manifest(self.static_name)
        return replace(found, stored=(static(self.static_name, sizes, manifest),))
