"""The lease record shared by several agents, and its parser.

Anyone with write access to the storage can change the record, so each field is checked separately,
and a value that no agent would write is ignored.
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
"""Most bytes of a record; no agent writes more."""
_SHORTEST, _LONGEST = 1.0, timedelta(hours=1).total_seconds()
_UNREADABLE = 60.0
"""Seconds during which an unreadable record is not replaced."""
_LONGEST_TEXT = 300
_COUNTS = range(1 << 31)
"""Largest counter; with a renewal every second it lasts for 60 years."""
_YEARS = range(2015, 2200)
"""Earliest and latest credible time of a snapshot; a later one could only delay a schedule."""


@dataclass(frozen=True, slots=True)
class Record:
    """The lease record; no two written records are equal."""

    holder: str
    """ID of the holder, unique among agents and restarts; empty if released."""
    term: int
    """Number of times the lease was acquired."""
    beat: int
    """Number of renewals since then."""
    seconds: float
    """Seconds after a renewal in which no other agent acquires the lease."""
    taken_at: str = ""
    """RFC 3339, for display only."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """Time of the newest snapshot that a holder stored, by storage, RFC 3339."""

    @property
    def free(self) -> bool:
        """Whether it was released."""
        return not self.holder

    def renewed(self, stored: Mapping[str, str]) -> Record:
        return replace(self, beat=self.beat + 1, stored={**self.stored, **stored})

    def released(self) -> Record:
        return replace(self, holder="", beat=self.beat + 1)

    def only(self, storages: Container[str]) -> Record:
        """Return the record without storages that are not configured here."""
        return replace(self, stored={k: v for k, v in self.stored.items() if k in storages})

    def stored_at(self) -> dict[str, datetime]:
        """Return the times in `stored`, ignoring invalid ones."""
        moments = {name: moment(text) for name, text in self.stored.items()}
        return {name: one for name, one in moments.items() if one is not None}

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Record:
        """Parse a record; a damaged one counts as held until it has been seen for long enough."""
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
    """Return a time in UTC; `None` if the text is not a credible time of a snapshot."""
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
