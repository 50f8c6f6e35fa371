"""The record that several agents see: who holds the lease, and what a reader takes from it.

Whoever may write into the storage may write anything into the record, so each field is checked
by itself, and none is taken that an agent would not have written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raft_snapshot_agent.core.foreign_json import read_json

RECORD_LIMIT = 64 << 10
"""Bytes of a record at most; no agent writes more."""
_SHORTEST, _LONGEST = 1.0, timedelta(hours=1).total_seconds()
_UNREADABLE = 60.0
"""Seconds that nobody takes a record that cannot be read."""
_LONGEST_TEXT = 300
_COUNTS = range(1 << 31)
"""At the fastest, a renewal every second, these last for 60 years."""
_YEARS = range(2015, 2200)
"""Of a snapshot: Vault is no older, and later ones only serve to put a schedule off."""


@dataclass(frozen=True, slots=True)
class Record:
    """Who holds the lease. No two that are ever written are alike."""

    holder: str
    """An ID that no other agent, nor this one after a restart, has; empty: it was given back."""
    term: int
    """Counts how often it was taken."""
    beat: int
    """Counts the renewals since."""
    seconds: float
    """For how long after a renewal nobody else takes it."""
    taken_at: str = ""
    """For people, RFC 3339; nothing is decided by it."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """By storage, when the newest snapshot was taken that a holder saw through, RFC 3339."""

    @property
    def free(self) -> bool:
        """Whether it was given back."""
        return not self.holder

    def renewed(self, stored: Mapping[str, str]) -> Record:
        return replace(self, beat=self.beat + 1, stored={**self.stored, **stored})

    def released(self) -> Record:
        return replace(self, holder="", beat=self.beat + 1)

    def only(self, storages: Container[str]) -> Record:
        """Leave out storages that nobody here has configured."""
        return replace(self, stored={k: v for k, v in self.stored.items() if k in storages})

    def stored_at(self) -> dict[str, datetime]:
        """Return the moments in `stored`; what is none was written by somebody else."""
        moments = {name: moment(text) for name, text in self.stored.items()}
        return {name: one for name, one in moments.items() if one is not None}

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Record:
        """Read a record; one that is damaged is somebody's, until it was seen for long enough."""
        try:
            fields = read_json(text[: RECORD_LIMIT + 1])  # what is longer is cut off, and damaged
            return cls(
                holder=_text(fields["holder"]),
                term=_count(fields["term"]),
                beat=_count(fields["beat"]),
                seconds=_seconds(fields["seconds"]),
                taken_at=_parse_moment(fields.get("taken_at")),
                stored=_parse_stored(fields.get("stored")),
            )
        except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError):
            return cls("unknown", 0, 0, _UNREADABLE)


def moment(text: object) -> datetime | None:
    """Return a moment in UTC; nothing where the text is none that a snapshot could have."""
    with suppress(ValueError, OverflowError):
        if isinstance(text, str) and len(text) <= _LONGEST_TEXT:
            found = datetime.fromisoformat(text)
            if found.year in _YEARS and found.tzinfo is not None:
                return found.astimezone(UTC)
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise ValueError("not a line of text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value not in _COUNTS:
        raise ValueError("not a count")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("not a duration")
    return min(max(float(value), _SHORTEST), _LONGEST)


def _parse_moment(value: Any) -> str:
    return value if moment(value) else ""


def _parse_stored(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if moment(text)}
