"""Takes the lease, keeps it, and knows at any moment whether it is still held.

Nothing here waits but for its register and the `sleep` it is given, so that a simulation can run
it through thousands of years.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from raft_snapshot_agent.core.lease import Record, Register, Sighting, Versioned, good_until
from raft_snapshot_agent.errors import AgentError, LeaseHeld, LeaseLost, StorageUnavailable

_LOOKS = 3
"""How often within its duration a lease is renewed, or looked at."""
_TRIES = 3
"""A write of ours may meet another of ours, whose answer was lost."""
_NOTHING: Mapping[str, str] = {}


def _awake() -> float:
    """Seconds of a clock that goes on while the host is suspended, and is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Tenure:
    """The lease from when it was taken until somebody else takes it."""

    lease: Lease
    term: int

    def held(self) -> bool:
        """Tell whether nobody else can hold it now; nobody is asked."""
        return self.lease.holds(self.term)

    def insist(self) -> None:
        """Go on only while it is held.

        Raises:
            LeaseLost: It is not.
        """
        if not self.held():
            raise self.lease.lost()

    async def confirm(self, storage: str, taken_at: datetime) -> None:
        """Write into the record that a storage has a snapshot, if nobody has taken it until now.

        Arguments:
            storage: Its name.
            taken_at: When the snapshot was taken.

        Raises:
            LeaseLost: Somebody has, and will not find it there.
            AgentError: Nobody knows whether it is there.
        """
        await self.lease.confirm(self.term, {storage: taken_at.isoformat()})


class Lease:
    """One agent's view of the lease."""

    def __init__(
        self,
        register: Register,
        holder: str,
        duration: timedelta,
        *,
        clock: Callable[[], float] = _awake,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        spread: Callable[[], float] = random.random,
        date: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; nothing is asked yet.

        Arguments:
            register: Keeps the record.
            holder: This agent, by an ID that no other has, nor this one after a restart.
            duration: For how long after a renewal nobody else takes it.
            clock: Seconds; it goes on while the host sleeps, and is never set.
            sleep: Waits that many seconds.
            spread: A number from 0 to 1: not all agents look at the same moment.
            date: Tells the present time, for people.
        """
        self._register = register
        self._me = holder
        self._seconds = duration.total_seconds()
        self._clock = clock
        self._sleep = sleep
        self._spread = spread
        self._date = date
        self._seen = Sighting(None, clock())
        self._mine: Versioned | None = None
        """The record while it is ours, as far as we know."""
        self._until = clock()
        self._last_term = 0
        self.trouble: AgentError | None = None
        """Why the last look or renewal failed."""

    @property
    def seconds(self) -> float:
        """For how long after a renewal nobody else takes it."""
        return self._seconds

    @property
    def location(self) -> str:
        """Where the record lies."""
        return self._register.location

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
        return {} if self.record is None else self.record.stored_at()

    @property
    def tenure(self) -> Tenure | None:
        """The one of this agent, while it holds the lease."""
        if self._mine is None or not self.holds(self._mine.record.term):
            return None
        return Tenure(self, self._mine.record.term)

    def holds(self, term: int) -> bool:
        """Tell whether this agent has held it since this term began, and does."""
        mine = self._mine
        return mine is not None and mine.record.term == term and self._clock() < self._until

    def lost(self) -> LeaseLost:
        """Say who has it now."""
        if self._mine is None and self.holder:
            return LeaseLost(f"the lease in {self.location} went to {self.holder} meanwhile")
        why = f": {self.trouble}" if self.trouble else ""
        return LeaseLost(f"the lease in {self.location} was not renewed in time{why}")

    def not_held(self) -> LeaseHeld | StorageUnavailable:
        """Say who is to work; not to know it is a failure, lest all stand by for ever."""
        if self.trouble is not None:
            return StorageUnavailable(
                f"nobody knows whose turn it is: {self.trouble.message}", hint=self.trouble.hint
            )
        if self._mine is None and self.holder:
            return LeaseHeld(f"{self.holder} holds the lease in {self.location}")
        return LeaseHeld(f"the lease in {self.location} is not this agent's yet")

    async def keep(self) -> None:
        """Take it whenever it is free, and keep it; never returns."""
        while True:
            await self._sleep(await self.look())

    async def look(self) -> float:
        """Renew it, or see whether it can be taken, and take it; no failure is raised.

        Returns:
            Seconds until the next time.
        """
        asked_at = self._clock()
        try:
            if self._mine is None:
                await self._try_to_take()
            else:
                await self._renew(self._mine.record.term)
            self.trouble = None
        except LeaseLost:
            self.trouble = None
        except AgentError as error:
            self.trouble = error
        return self._pause(asked_at)

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
                await self._sleep(self._seconds / 10)
            else:
                return
        raise doubt or self.lost()

    async def release(self) -> None:
        """Give it back, so that another need not wait.

        Raises:
            AgentError: That was not possible; it ends by itself.
        """
        mine, self._mine = self._mine, None
        try:
            if mine is not None:
                await self._register.write(mine.record.released(), mine.version)
        finally:
            await self._register.close()

    def _pause(self, asked_at: float) -> float:
        """Look soon enough to renew in time, or just when another's lease runs out."""
        now = self._clock()
        regular = asked_at + self._seconds / _LOOKS * (0.8 + 0.2 * self._spread()) - now
        if self._mine is None and self._seen.found is not None:
            regular = min(regular, self._seen.free_in(now))
        return max(regular, self._seconds / 100)

    async def _try_to_take(self) -> None:
        found = await self._register.read()
        self._seen = self._seen.again(found, self._clock())
        if found is not None and found.record.holder == self._me:
            self._mine = found  # the answer to our own write was lost; renewing it tells
            self._last_term = found.record.term
            return await self._renew(found.record.term)
        if self._seen.free_in(self._clock()) > 0:
            return None
        asked_at = self._clock()
        record = self._taken(found)
        version = await self._register.write(record, None if found is None else found.version)
        if version is not None:
            self._mine = Versioned(record, version)
            self._last_term = record.term
            self._until = good_until(asked_at, self._seconds)
        return None

    def _taken(self, found: Versioned | None) -> Record:
        # Should somebody delete the record: no tenure of this agent's has another's number.
        term = 1 + max(self._last_term, 0 if found is None else found.record.term)
        stored = {} if found is None else found.record.stored
        taken_at = self._date().strftime("%Y-%m-%dT%H:%M:%SZ")
        return Record(self._me, term, 0, self._seconds, taken_at, stored)

    async def _renew(self, term: int, stored: Mapping[str, str] = _NOTHING) -> None:
        for _ in range(_TRIES):
            if self._says(stored):
                return None  # the answer to an earlier write was lost
            mine = self._mine
            if mine is None or mine.record.term != term:
                raise self.lost()
            asked_at = self._clock()
            record = mine.record.renewed(stored)
            version = await self._register.write(record, mine.version)
            if version is not None:
                return self._believe(Versioned(record, version), asked_at)
            await self._look_again(term)
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

    async def _look_again(self, term: int) -> None:
        """Find out who was faster: another agent, or another write of ours."""
        found = await self._register.read()
        if found is not None and (found.record.holder, found.record.term) == (self._me, term):
            if self._mine is not None and found.record.beat >= self._mine.record.beat:
                self._mine = found
        else:
            self._seen = Sighting(found, self._clock())
            self._mine = None
