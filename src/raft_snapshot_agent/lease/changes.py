"""Describes changes of the lease since the last call, as sentences for the log."""

from __future__ import annotations

from typing import Literal

from raft_snapshot_agent.errors import UnreliableStore
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.log_events import LogEvent

Change = tuple[LogEvent, Literal["info", "warning", "error"], str]


class Changes:
    """Returns each change once."""

    def __init__(self) -> None:
        self._term: int | None = None
        self._doubt: UnreliableStore | None = None
        self.acquired = False
        """Whether the lease was held at the previous call."""

    def of(self, lease: Lease) -> list[Change]:
        """Return the changes since the last call, with their log levels."""
        term = None if lease.held_lease is None else lease.held_lease.term
        changed, self._term = term != self._term, term
        self.acquired = changed and term is not None
        found = self._doubts(lease)
        if changed:
            found.append(_describe_acquired(lease) if self.acquired else _describe_left(lease))
        return found

    def _doubts(self, lease: Lease) -> list[Change]:
        """Return a warning if the store cannot keep a lease; repeat it at each due snapshot."""
        before, self._doubt = self._doubt, _doubt(lease)
        if self._doubt is None or before is not None:
            return []
        what = f"No snapshots while the lease is kept there: {self._doubt}"
        return [(LogEvent.LEASE_UNUSABLE, "error", what)]


def _doubt(lease: Lease) -> UnreliableStore | None:
    return lease.trouble if isinstance(lease.trouble, UnreliableStore) else None


def _describe_acquired(lease: Lease) -> Change:
    return LogEvent.LEASE_ACQUIRED, "info", f"Acquired the lease in {lease.location}."


def _describe_left(lease: Lease) -> Change:
    if lease.gave_away:
        what = f"Released the lease in {lease.location}: {lease.gave_away}."
        return LogEvent.LEASE_GIVEN_AWAY, "info", what
    why = lease.lost().message.removeprefix("lost the lease in ")
    what = f"Lost the lease in {why}; no snapshots until it is acquired again."
    return LogEvent.LEASE_LOST, "warning", what
