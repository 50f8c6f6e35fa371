"""The rules of a lease: a record shared by several agents, one of which holds it.

They are those of Kubernetes' leader election: a record has its holder and its duration. An agent
that has seen the record unchanged for that duration, by its own clock, may acquire the lease.
Clocks of different hosts are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from raft_snapshot_agent.core.leases.lease_record import Record

_SAFE = 0.9
"""Fraction of the duration that the holder uses, because clocks run at different speeds."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record with its version."""

    record: Record
    version: str
    """Version that the next write must expect, in the format of the store."""


class LeaseStore(Protocol):
    """Keeps one record; writing is compare-and-swap."""

    @property
    def location(self) -> str:
        """Location of the record, as an operator would write it."""

    async def read(self) -> Versioned | None:
        """Read the record; return `None` if it does not exist.

        Raises:
            AgentError: It could not be read.
        """

    async def write(self, record: Record, expected: str | None) -> str | None:
        """Write the record if it still has the expected version.

        Arguments:
            record: The new record.
            expected: Version as last read or written; `None`: the record must not exist.

        Returns:
            The new version; `None` if another agent wrote first.

        Raises:
            AgentError: It was not written, or that is unknown.
        """

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""


class StoredLeaseStore(LeaseStore, Protocol):
    """A lease store in a storage, which must be proven first."""

    def probe(self, name: str) -> ProbeLeaseStore:
        """Return a store for a test record beside this one; no I/O.

        Arguments:
            name: Name of letters and digits; the same name gives the same record.
        """


class ProbeLeaseStore(LeaseStore, Protocol):
    """A lease store whose record can be deleted."""

    async def delete(self) -> None:
        """Delete the record; a missing one is not an error.

        Raises:
            StorageDenied: The credentials have no permission.
            AgentError: It could not be deleted.
        """

    async def sweep(self) -> None:
        """Delete test records that killed proofs left: those older than this one by an hour.

        Raises:
            AgentError: They could not be deleted.
        """


@dataclass(frozen=True, slots=True)
class Observation:
    """The record as last seen by an agent that does not hold the lease."""

    found: Versioned | None
    since: float
    """When this version was first seen, in seconds of a monotonic clock."""
    seconds: float = 0.0
    """Duration of the lease: the longest one seen in the record."""

    def again(self, found: Versioned | None, now: float) -> Observation:
        """Return the observation after another read."""
        before = self.found
        if (found and found.version) == (before and before.version):
            return self
        if found is None:
            return Observation(None, now)
        seconds = found.record.seconds
        if before is not None and _tenure(before.record) == _tenure(found.record):
            # A holder never changes the duration: a shorter one is forged.
            seconds = max(seconds, self.seconds)
        return Observation(found, now, seconds)

    def free_in(self, now: float, at_least: float = 0.0) -> float:
        """Return in how many seconds the lease may be acquired if it is not renewed.

        Arguments:
            now: By the same clock as `since`.
            at_least: Seconds that it is left to its holder in any case.
        """
        if self.found is None or self.found.record.free:
            return 0.0
        return max(self.since + max(self.seconds, at_least) - now, 0.0)


def _tenure(record: Record) -> tuple[str, int]:
    return record.holder, record.term


def good_until(asked_at: float, seconds: float) -> float:
    """Return until when the holder may rely on a renewal.

    Arguments:
        asked_at: When the renewal was sent; other agents saw it no earlier.
        seconds: Duration in the record.
    """
    return asked_at + seconds * _SAFE
