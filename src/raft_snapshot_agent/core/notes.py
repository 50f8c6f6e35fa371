"""Small notes that lie in a storage: the guard's alarm, and that of a restore.

Whoever may write there may have written them; what they say is shown as one short line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from raft_snapshot_agent.core.foreign_json import read_json

GUARD_NAME = "raft-snapshot-guard.json"
"""Lies in a storage for as long as nothing may be pruned there."""
RESTORED_NAME = "raft-snapshot-restored.json"
"""Lies in a storage from a restore by hand to the next snapshot."""
SCRUB_NAME = "raft-snapshot-scrub.json"
"""Lies in a storage that is read back."""
_LONGEST = 300


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
            fields = read_json(text)
            return cls(*(one_line(fields[name]) for name in ("reason", "snapshot", "since")))
        except (ValueError, KeyError, TypeError):
            return cls("the note of an earlier alarm cannot be read", "unknown", "")


@dataclass(frozen=True, slots=True)
class Restored:
    """That an operator restored a snapshot: what the next one is held against."""

    snapshot: str
    at: str
    """RFC 3339 in UTC."""
    cluster_id: str
    """Which cluster it is from then on; empty where that is not known."""
    index: int
    size: int
    clock: str = ""
    uptime: float = 0.0
    """When it was, by the `clock` that it names."""
    signature: str = ""
    """By the key that all agents of the cluster share; empty: there is none."""

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Restored | None:
        """Read a restore; nothing where the note is damaged."""
        try:
            fields = read_json(text)
            found = cls(
                snapshot=one_line(fields["snapshot"]),
                at=str(fields["at"]),
                cluster_id=one_line(fields["cluster_id"]),
                index=int(fields["index"]),
                size=int(fields["size"]),
                clock=str(fields["clock"]),
                uptime=float(fields["uptime"]),
                signature=one_line(fields.get("signature", "")),
            )
        except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError):
            return None
        return None if moment(found.at) is None else found


def moment(text: str) -> datetime | None:
    """Read a time that somebody wrote; nothing where it is none."""
    try:
        read = datetime.fromisoformat(text)
        return None if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def one_line(text: object) -> str:
    """Show what others wrote as one line of a sensible length."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return " ".join(plain.split())[:_LONGEST]
