"""Acquires, renews and releases the lease, and tells whether it is still held.

Nothing here waits but for its register, the candidacy and the `sleep` it is given, so that a
simulation can run it through thousands of years.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from raft_snapshot_agent.core.leases.lease import LeaseStore, Observation, Versioned, good_until
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import AgentError, LeaseHeld, LeaseLost
from raft_snapshot_agent.lease.candidacy import Candidacy
from raft_snapshot_agent.lease.clock import Clock
from raft_snapshot_agent.lease.held_lease import HeldLease

__all__ = ["HeldLease", "Lease"]

_LOOKS = 3
"""How often within its duration a lease is renewed, or looked at."""
_TRIES = 3
"""A write of ours may meet another of ours, whose answer was lost."""
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
        """Prepare; nothing is asked yet.

        Arguments:
            lease_store: Keeps the record.
            holder: This agent, by an ID that no other has, nor this one after a restart.
            duration: For how long after a renewal nobody else takes it.
            candidacy: Decides whether this agent is to hold it; without one it always is.
            storages: The record tells of no others; by default it may tell of any.
            clock: Tells the time; by default this host's.
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
        """The record while it is ours, as far as we know."""
        self._last_term = 0
        self._runs = 0
        """Under way; what they hold is not given away."""
        self.gave_away = ""
        """Why this agent gave it away last; empty once it was taken again."""
        self.trouble: AgentError | None = None
        """Why the last look or renewal failed."""

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
        """Who holds it, as far as this agent has seen; empty: nobody."""
        return "" if self.record is None else self.record.holder

    @property
    def stored(self) -> Mapping[str, datetime]:
        """By storage, when the newest snapshot was taken that a holder saw through."""
        return {} if self.record is None else self._drop_unknown_storages(self.record).stored_at()

    @property
    def held_lease(self) -> HeldLease | None:
        """The one of this agent, while it holds the lease."""
        if self._mine is None or not self.holds(self._mine.record.term):
            return None
        return HeldLease(self, self._mine.record.term)

    def holds(self, term: int) -> bool:
        """Return whether this agent has held it since this term began, and does."""
        mine = self._mine
        return mine is not None and mine.record.term == term and self._clock.now() < self._until

    def lost(self) -> LeaseLost:
        """Return an error that says who has it now."""
        if self._mine is None and self.holder:
            return LeaseLost(f"lost the lease in {self.location}: {self.holder} took it")
        why = f": {self.trouble}" if self.trouble else ""
        return LeaseLost(f"lost the lease in {self.location}: it was not renewed in time{why}")

    def not_held(self) -> AgentError:
        """Return an error that says who is to work; not to know it is a failure, no standing by."""
        if error := self.trouble or self._candidacy.obstacle:
            return error.with_traceback(None)
        if self._mine is None and self.holder:
            return LeaseHeld(f"{self.holder} holds the lease in {self.location}")
        if self.gave_away:
            return LeaseHeld(f"released the lease in {self.location}: {self.gave_away}")
        return LeaseHeld(f"the lease in {self.location} is not this agent's yet")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it for as long as a run lasts: a snapshot that is whole by then counts."""
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
        """Renew it, or see whether it can be taken, and take it; no failure is raised.

        Returns:
            Seconds until the next time.
        """
        asked_at = self._clock.now()
        try:
            await self._candidacy.rely_on_store(asked_at)
            if self._mine is None:
                await self._try_to_take()
            else:
                await self._renew(self._mine.record.term)
                await self._leave_to_others()
            self.trouble = None
        except LeaseLost:
            self.trouble = None
        except AgentError as error:
            self.trouble = error
        return self._pause(asked_at)

    async def count(self, *, failed: bool) -> None:
        """Count a run that ended; after too many failures in a row another agent gets its turn."""
        if self._mine is not None and (why := self._candidacy.count(failed=failed)):
            with suppress(AgentError):  # it is given back at the next look, or ends by itself
                await self._give_away(why)

    async def confirm(self, term: int, stored: Mapping[str, str]) -> None:
        """Renew it now, whatever the time, if it was never lost since this term began.

        Arguments:
            term: It began with this one.
            stored: What the record is to say from now on; see `Record.stored`.

        Raises:
            LeaseLost: It was, and the record does not say so.
            AgentError: Nobody knows whether it does.
        """
        doubt: AgentError | None = None
        for _ in range(_TRIES):
            try:
                await self._renew(term, stored)
            except LeaseLost as error:
                raise (doubt or error) from error
            except AgentError as error:
                doubt = doubt or error
                await self._clock.sleep(self._seconds / 10)
            else:
                return
        raise doubt or self.lost()

    async def release(self) -> None:
        """Give it back for good, so that another need not wait.

        Raises:
            AgentError: That was not possible; it ends by itself.
        """
        try:
            await self._give_away("this agent stops")
        finally:
            await self._lease_store.close()

    def _pause(self, asked_at: float) -> float:
        """Return the pause until the next look: in time to renew, or when another's lease ends."""
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
                self._candidacy.obstacle = None  # nobody asks
                return
        elif self._candidacy.stands_back((now - self._seen.since) / self._seconds):
            await self._give_back(found)
            return
        if not await self._candidacy.qualifies():
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
        """Give back what an answer that was lost kept from us: a taking, or a giving away."""
        if found is not None and found.record.holder == self._me:
            await self._lease_store.write(found.record.released(), found.version)

    async def _leave_to_others(self) -> None:
        """Give it away where this agent could take no snapshot now."""
        if not (self._runs or await self._candidacy.qualifies() or self._runs):
            await self._give_away(str(self._candidacy.obstacle))

    async def _give_away(self, why: str) -> None:
        mine, self._mine = self._mine, None
        if mine is None:
            return
        self.gave_away = why
        self._seen = Observation(None, self._clock.now())
        await self._lease_store.write(
            self._drop_unknown_storages(mine.record).released(), mine.version
        )

    def _take_record(self, found: Versioned | None) -> Record:
        # Also where it is ours already, and the answer was lost, and should somebody delete the
        # record: no tenure of this agent's has another's number.
        term = 1 + max(self._last_term, 0 if found is None else found.record.term)
        stored = {} if found is None else self._drop_unknown_storages(found.record).stored
        taken_at = self._clock.date().strftime("%Y-%m-%dT%H:%M:%SZ")
        return Record(self._me, term, 0, self._seconds, taken_at, stored)

    def _drop_unknown_storages(self, record: Record) -> Record:
        return record if self._storages is None else record.only(self._storages)

    async def _renew(self, term: int, stored: Mapping[str, str] = _NOTHING) -> None:
        for _ in range(_TRIES):
            if self._says(stored):
                return None  # the answer to an earlier write was lost
            mine = self._mine
            if mine is None or mine.record.term != term:
                raise self.lost()
            asked_at = self._clock.now()
            # What somebody else wrote into our record is not carried on.
            record = replace(
                self._drop_unknown_storages(mine.record.renewed(stored)), seconds=self._seconds
            )
            version = await self._lease_store.write(record, mine.version)
            if version is not None:
                return self._believe(Versioned(record, version), asked_at)
            await self._look_again(term, mine)
        raise self.lost()

    def _says(self, stored: Mapping[str, str]) -> bool:
        record = self.record
        return bool(stored) and record is not None and stored.items() <= record.stored.items()

    def _believe(self, mine: Versioned, asked_at: float) -> None:
        # Of two renewals of ours, the later one's answer may come first.
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
