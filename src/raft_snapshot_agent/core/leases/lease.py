"""A lease: the record that several agents see, of which one holds it, and who may take it when.

The rules are those of Kubernetes' leader election: a record says who holds it and for how long
after each renewal; whoever has seen it unchanged for that long, by a clock of its own, may take
it. No clock is ever compared with another host's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from raft_snapshot_agent.core.leases.lease_record import Record

__all__ = [
    "LeaseStore",
    "Observation",
    "ProbeLeaseStore",
    "Record",
    "StoredLeaseStore",
    "Versioned",
    "good_until",
]

_SAFE = 0.9
"""The part of its time that a holder believes in: clocks run at different speeds."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record as it was read."""

    record: Record
    version: str
    """What another write has to expect; in the words of whatever keeps the record."""


class LeaseStore(Protocol):
    """Keeps one record; writing is compare-and-swap."""

    @property
    def location(self) -> str:
        """Where the record lies, as an operator would write it."""

    async def read(self) -> Versioned | None:
        """Read the record; nothing while there is none.

        Raises:
            AgentError: That was not possible.
        """

    async def write(self, record: Record, expected: str | None) -> str | None:
        """Write the record if it still has the version that is expected.

        Arguments:
            record: What to write.
            expected: As it was read or written last; `None`: there is none yet.

        Returns:
            The new version; nothing where another agent was faster.

        Raises:
            AgentError: It was not written, or nobody knows whether it was.
        """

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""


class StoredLeaseStore(LeaseStore, Protocol):
    """A register in a storage, which has to be proven first."""

    def probe(self, name: str) -> ProbeLeaseStore:
        """Keep another record beside this one, to prove the store on; nothing is contacted yet.

        Arguments:
            name: Of letters and digits; who takes the same one has the same record.
        """


class ProbeLeaseStore(LeaseStore, Protocol):
    """A register whose record can be removed again."""

    async def delete(self) -> None:
        """Remove the record; one that is gone already is no error.

        Raises:
            StorageDenied: The credentials may not.
            AgentError: That was not possible.
        """

    async def sweep(self) -> None:
        """Remove what proofs that were killed left: probes older than this one by an hour.

        Raises:
            AgentError: That was not possible.
        """


@dataclass(frozen=True, slots=True)
class Observation:
    """The record as an agent that does not hold it last saw it."""

    found: Versioned | None
    since: float
    """When it was first seen so, in seconds of a clock that never stops or steps."""
    seconds: float = 0.0
    """For how long its holder believes in a renewal, by the longest time it was seen to say."""

    def again(self, found: Versioned | None, now: float) -> Observation:
        """Look once more."""
        before = self.found
        if (found and found.version) == (before and before.version):
            return self
        if found is None:
            return Observation(None, now)
        seconds = found.record.seconds
        if before is not None and _tenure(before.record) == _tenure(found.record):
            # A holder never changes it: a shorter one was written by somebody else.
            seconds = max(seconds, self.seconds)
        return Observation(found, now, seconds)

    def free_in(self, now: float, at_least: float = 0.0) -> float:
        """Return in how many seconds it may be taken, should nobody renew it until then.

        Arguments:
            now: By the same clock as `since`.
            at_least: Seconds that it is left to its holder, whatever the record says.
        """
        if self.found is None or self.found.record.free:
            return 0.0
        return max(self.since + max(self.seconds, at_least) - now, 0.0)


def _tenure(record: Record) -> tuple[str, int]:
    return record.holder, record.term


def good_until(asked_at: float, seconds: float) -> float:
    """Return until when a holder may believe in a renewal.

    Arguments:
        asked_at: When it asked for it: what others saw, they saw no earlier.
        seconds: As the record says.
    """
    return asked_at + seconds * _SAFE
