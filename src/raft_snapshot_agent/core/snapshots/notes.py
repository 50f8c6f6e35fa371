"""Small notes in a storage: the guard's alarm, and the last restore.

Anyone with write access to the storage can write them, so they are shown as one short line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from raft_snapshot_agent.core.advice import acknowledge
from raft_snapshot_agent.core.foreign_json import read_json

GUARD_NAME = "raft-snapshot-guard.json"
"""Exists in a storage while retention is suspended there."""
RESTORED_NAME = "raft-snapshot-restored.json"
"""Exists in a storage from a restore until the next snapshot."""
SCRUB_NAME = "raft-snapshot-scrub.json"
"""Exists in a storage whose snapshots are read back."""
_LONGEST = 600
"""Characters that are read of a field: the longest alarm of the guard has about 400."""
_FIRST_YEAR = 1970


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why retention is suspended until an operator acknowledges it."""

    reason: str
    snapshot: str
    """The first snapshot that seems to be from another cluster."""
    since: str
    """When that snapshot was taken, RFC 3339 in UTC."""

    def __str__(self) -> str:
        return f"{self.reason} (since {self.snapshot})"

    def describe_remedy(self, cluster: str) -> str:
        """Return the same with its consequence and what to do.

        Arguments:
            cluster: The cluster's name; empty if it is the only one.
        """
        return f"{self}: nothing is deleted; {acknowledge(cluster)}"

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Alarm:
        """Parse an alarm; a damaged note also counts as an alarm."""
        try:
            fields = read_json(text)
            return cls(*(one_line(fields[name]) for name in ("reason", "snapshot", "since")))
        except (ValueError, KeyError, TypeError):
            return cls("the note of an earlier alarm cannot be read", "unknown", "")


@dataclass(frozen=True, slots=True)
class Restored:
    """A restore by an operator, with which the next snapshot is compared."""

    snapshot: str
    at: str
    """RFC 3339 in UTC."""
    cluster_id: str
    """ID of the cluster since then; empty if unknown."""
    index: int
    size: int
    clock: str = ""
    uptime: float = 0.0
    """Time of the restore, by `clock`."""
    signature: str = ""
    """Signature by the key that all agents of the cluster share; empty without a key."""

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Restored | None:
        """Parse the note of a restore; `None` if it is damaged."""
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
    """Parse an external time; `None` if it is invalid or before 1970.

    No agent wrote a time before 1970, and a year below 1000 would be written with fewer digits.
    """
    try:
        read = datetime.fromisoformat(text)
        is_known = read.tzinfo is not None and read.year >= _FIRST_YEAR
        return read.astimezone(UTC) if is_known else None
    except (ValueError, OverflowError):
        return None


def one_line(text: object) -> str:
    """Return an external text as one line of limited length."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return " ".join(plain.split())[:_LONGEST]
