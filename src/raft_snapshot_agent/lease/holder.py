"""Acquires, renews and releases the lease, and returns whether it is still held.

It waits only for the lease store, the candidacy and `sleep`, so a simulation can run it for years.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.leases.lease import LeaseStore, Observation, Versioned, good_until
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import AgentError, LeaseFree, LeaseHeld, LeaseLost
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.observe.failures import as_failure

_LOOKS = 3
"""How many times per duration the lease is renewed, or read by other agents."""
_TRIES = 3
"""A write may conflict with an earlier write of this agent whose answer was lost."""
_NOTHING: Mapping[str, str] = {}


class Lease:
    """One agent's view of the lease."""

    def __init__(
        self,
        lease_store: LeaseStore,
        holder: str,
        duration: timedelta,
        *,
        candidacy: Candidacy | None = None,
        storages: Collection[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Store the collaborators; no I/O.

        Arguments:
            lease_store: Reads and writes the lease record.
            holder: ID of this agent, unique among agents and different after each restart.
            duration: How long after a renewal no other agent may acquire the lease.
            candidacy: Decides whether this agent may hold the lease; by default it always may.
            storages: Names allowed in the record; by default all.
            clock: Clock and pauses; by default this host's.
        """
        self._lease_store = lease_store
        self._me = holder
        self._seconds = duration.total_seconds()
        self._candidacy = candidacy or Candidacy()
        self._storages = storages
        self._clock = clock or Clock()
        self._until = self._clock.now()
        self._seen = Observation(None, self._until)
        self._mine: Versioned | None = None
        """The record, while this agent holds the lease as far as it knows."""
        self._last_term = 0
        self._runs = 0
        """Number of runs in progress; the lease is not released during a run."""
        self.gave_away = ""
        """Why this agent last released the lease; empty after it is acquired again."""
        self.trouble: AgentError | None = None
        """Why the last read or renewal failed."""

    @property
    def seconds(self) -> float:
        return self._seconds

    @property
    def location(self) -> str:
        return self._lease_store.location

    @property
    def record(self) -> Record | None:
        """The record as this agent last saw it."""
        found = self._mine or self._seen.found
        return None if found is None else found.record

    @property
    def holder(self) -> str:
        """ID of the holder, as last read; empty if the lease is free, or was this agent's."""
        holder = "" if self.record is None else self.record.holder
        return "" if holder == self._me and self.held_lease is None else holder

    @property
    def stored(self) -> Mapping[str, datetime]:
        """Time of the newest snapshot that a holder stored, by storage name."""
        return {} if self.record is None else self._trim(self.record).stored_at()

    @property
    def held_lease(self) -> HeldLease | None:
        """The lease held by this agent; `None` while it holds none."""
        if self._mine is None or not self.holds(self._mine.record.term):
            return None
        return HeldLease(self, self._mine.record.term)

    def holds(self, term: int) -> bool:
        """Return whether this agent has held the lease without interruption since this term."""
        mine = self._mine
        return mine is not None and mine.record.term == term and self._clock.now() < self._until

    def lost(self) -> LeaseLost:
        """Return an error that names the present holder."""
        why = f"it was not renewed in time{f': {self.trouble}' if self.trouble else ''}"
        if self._mine is None and self.holder:
            why = f"{self.holder} took it"
        elif self._mine is None and self.record is None and not self.gave_away:
            why = "somebody deleted it"
        return LeaseLost(f"lost the lease in {self.location}: {why}")

    def not_held(self) -> AgentError:
        """Return why this agent does not hold the lease; an unreadable record is a failure."""
        if error := self.trouble or self._candidacy.obstacle:
            return error.with_traceback(None)
        if self._mine is None and self.holder:
            return LeaseHeld(f"{self.holder} holds the lease in {self.location}")
        if self.gave_away:
            return LeaseFree(f"released the lease in {self.location}: {self.gave_away}")
        return LeaseFree(f"this agent does not hold the lease in {self.location} yet")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Do not release the lease while a run is in progress."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1

    async def keep(self) -> None:
        """Acquire the lease whenever it is free, and renew it; never return."""
        while True:
            await self._clock.sleep(await self.look())

    async def look(self) -> float:
        """Renew the lease, or acquire it if it is free; failures are stored, not raised.

        Returns:
            Seconds until the next time.
        """
        asked_at = self._clock.now()
        try:
            with suppress(LeaseLost):
                await self._candidacy.rely_on_store(asked_at)
                if self._mine is None:
                    await self._try_to_take()
                else:
                    await self._renew(self._mine.record.term)
                    await self._leave_to_others()
            self.trouble = None
        except Exception as error:  # noqa: BLE001 - it must not end the running snapshot
            self.trouble = as_failure(error)
        return self._pause(asked_at)

    async def count(self, *, failed: bool) -> None:
        """Count a finished run; after too many consecutive failures, release the lease."""
        if failed and (self.held_lease is None or self.trouble is not None):
            return  # it failed for want of the lease, whose store others cannot reach either
        if self._mine is not None and (why := self._candidacy.count(failed=failed)):
            with suppress(Exception):  # it is released at the next look, or expires
                await self._give_away(why)

    async def confirm(self, term: int, stored: Mapping[str, str]) -> None:
        """Renew the lease now, if it was not lost since this term began.

        Arguments:
            term: Number of the term in which the run began.
            stored: New content of `Record.stored`.

        Raises:
            LeaseLost: The lease was lost; `stored` was not written.
            AgentError: It is unknown whether `stored` was written.
        """
        doubt: AgentError | None = None
        for _ in range(_TRIES):
            try:
                await self._renew(term, stored)
            except LeaseLost as error:
                raise (doubt or error) from error
            except AgentError as error:
                self.trouble = doubt = doubt or error
                await self._clock.sleep(self._seconds / 10)
            else:
                return
        raise doubt or self.lost()

    async def release(self) -> None:
        """Release the lease when the agent stops, so that another can acquire it at once.

        Raises:
            AgentError: The record could not be written; the lease expires after its duration.
        """
        try:
            await self._give_away("this agent stops")
        finally:
            await self._lease_store.close()

    def _pause(self, asked_at: float) -> float:
        """Return the seconds until the next renewal, or until another agent's lease expires."""
        now = self._clock.now()
        regular = asked_at + self._seconds / _LOOKS * (0.8 + 0.2 * self._clock.spread()) - now
        if self._mine is None and (wait := self._seen.free_in(now, self._seconds)):
            regular = min(regular, wait)
        return max(regular, self._seconds / 100)

    async def _try_to_take(self) -> None:
        found = await self._lease_store.read()
        self._seen = self._seen.again(found, now := self._clock.now())
        if found is not None and found.record.holder not in ("", self._me):
            self._candidacy.saw(found.record)
            if self._seen.free_in(now, self._seconds) > 0:
                self._candidacy.obstacle = None  # not checked while another agent holds it
                return
        elif self._candidacy.must_wait((now - self._seen.since) / self._seconds):
            await self._give_back(found)
            return
        if not await self._candidacy.can_snapshot():
            await self._give_back(found)
            return
        asked_at = self._clock.now()
        record = self._take_record(found)
        version = await self._lease_store.write(record, None if found is None else found.version)
        if version is not None:
            self._mine = Versioned(record, version)
            self._last_term = record.term
            self._until = good_until(asked_at, self._seconds)
            self.gave_away = ""

    async def _give_back(self, found: Versioned | None) -> None:
        """Release a lease that is still this agent's because the answer to a write was lost."""
        if found is not None and found.record.holder == self._me:
            await self._lease_store.write(found.record.released(), found.version)

    async def _leave_to_others(self) -> None:
        """Release the lease if this agent cannot take a snapshot now."""
        if not (self._runs or await self._candidacy.can_snapshot() or self._runs):
            await self._give_away(str(self._candidacy.obstacle))

    async def _give_away(self, why: str) -> None:
        mine, self._mine = self._mine, None
        if mine is None:
            return
        self.gave_away = why
        self._seen = Observation(None, self._clock.now())
        await self._lease_store.write(self._trim(mine.record).released(), mine.version)

    def _take_record(self, found: Versioned | None) -> Record:
        # A new number also if the record is ours already (the answer was lost) or was deleted:
        # no two periods of holding the lease have the same number.
        term = 1 + max(self._last_term, 0 if found is None else found.record.term)
        stored = {} if found is None else self._trim(found.record).stored
        taken_at = self._clock.date().strftime("%Y-%m-%dT%H:%M:%SZ")
        return Record(self._me, term, 0, self._seconds, taken_at, stored)

    def _trim(self, record: Record) -> Record:
        """Return a record without storages that are no longer configured."""
        return record if self._storages is None else record.only(self._storages)

    async def _renew(self, term: int, stored: Mapping[str, str] = _NOTHING) -> None:
        for _ in range(_TRIES):
            if self._says(stored):
                return None  # the answer to an earlier write was lost
            mine = self._mine
            if mine is None or mine.record.term != term:
                raise self.lost()
            asked_at = self._clock.now()
            # Changes that others made to our record are not kept.
            record = replace(self._trim(mine.record.renewed(stored)), seconds=self._seconds)
            version = await self._lease_store.write(record, mine.version)
            if version is not None:
                return self._believe(Versioned(record, version), asked_at)
            await self._look_again(term, mine)
        raise self.lost()

    def _says(self, stored: Mapping[str, str]) -> bool:
        record = self.record
        return bool(stored) and record is not None and stored.items() <= record.stored.items()

    def _believe(self, mine: Versioned, asked_at: float) -> None:
        # The answers to two renewals may arrive in reverse order.
        if self._mine is not None and self._mine.record.term == mine.record.term:
            if mine.record.beat > self._mine.record.beat:
                self._mine = mine
            self._until = max(self._until, good_until(asked_at, self._seconds))

    async def _look_again(self, term: int, refused: Versioned) -> None:
        """Read the record again after a conflict: another agent wrote, or we did before."""
        found = await self._lease_store.read()
        mine = self._mine
        if found is not None and (found.record.holder, found.record.term) == (self._me, term):
            if mine is not None and (mine == refused or found.record.beat >= mine.record.beat):
                self._mine = found
        else:
            self._seen = Observation(None, self._clock.now()).again(found, self._clock.now())
            self._mine = None
