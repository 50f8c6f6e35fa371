"""When a new snapshot must not push out the old ones: the cluster was wiped, or is another."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.snapshot import Manifest

GUARD_NAME = "raft-snapshot-guard.json"
"""Lies in a storage for as long as nothing may be pruned there."""
_EXACT = timedelta(seconds=1)
"""A manifest tells its time no more exactly."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a storage is not pruned until an operator says so."""

    reason: str
    snapshot: str
    """The first one that looks like another cluster's."""
    since: str
    """When that was taken, RFC 3339 in UTC."""

    def __str__(self) -> str:
        return f"{self.reason} (since {self.snapshot})"

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Alarm:
        """Read an alarm; one that is damaged is an alarm all the same."""
        try:
            fields = json.loads(text)
            return cls(*(str(fields[name]) for name in ("reason", "snapshot", "since")))
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls("the note of an earlier alarm cannot be read", "unknown", "")


def alarm(before: Manifest, now: Manifest, max_shrink: float) -> Alarm | None:
    """Tell whether a snapshot looks like that of a wiped or another cluster.

    Arguments:
        before: Of the newest snapshot that was stored earlier.
        now: Of the new one.
        max_shrink: The share of its size that a cluster may lose from one to the next.
    """
    reason = _suspicion(before, now, max_shrink)
    return Alarm(reason, now.snapshot, now.taken_at) if reason else None


def _suspicion(before: Manifest, now: Manifest, max_shrink: float) -> str:
    if before.cluster_id and now.cluster_id and before.cluster_id != now.cluster_id:
        return f"the cluster is another: {now.cluster_id}, before it was {before.cluster_id}"
    if _at_once(before, now):
        return ""  # of two agents' snapshots, taken at the same time, either may hold more
    if now.index < before.index:
        return f"the Raft index went back from {before.index} to {now.index}"
    if now.size < before.size * (1 - max_shrink):
        return f"the snapshot shrank from {before.size} to {now.size} bytes"
    return ""


def _at_once(one: Manifest, other: Manifest) -> bool:
    """Tell whether one was still being taken when the other was begun."""
    try:
        begun, begun_too = (datetime.fromisoformat(each.taken_at) for each in (one, other))
        ended = begun + timedelta(seconds=one.duration) + _EXACT
        ended_too = begun_too + timedelta(seconds=other.duration) + _EXACT
        overlap = begun < ended_too and begun_too < ended
    except (ValueError, TypeError, OverflowError):  # not as we write it
        return False
    return overlap
