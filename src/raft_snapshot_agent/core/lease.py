"""A lease: the record that several agents see, of which one holds it, and who may take it when.

The rules are those of Kubernetes' leader election: a record says who holds it and for how long
after each renewal; whoever has seen it unchanged for that long, by a clock of its own, may take
it. No clock is ever compared with another host's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

_SAFE = 0.9
"""The part of its time that a holder believes in: clocks run at different speeds."""
_LONGEST = timedelta(hours=1).total_seconds()


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

    def stored_at(self) -> dict[str, datetime]:
        """Say it in moments; what is none was written by somebody else."""
        moments: dict[str, datetime] = {}
        for storage, text in self.stored.items():
            with suppress(ValueError):
                moments[storage] = datetime.fromisoformat(text).astimezone(UTC)
        return moments

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Record:
        """Read a record; one that is damaged is somebody's, until it was seen for long enough."""
        try:
            fields = json.loads(text)
            return cls(
                holder=str(fields["holder"]),
                term=int(fields["term"]),
                beat=int(fields["beat"]),
                seconds=min(max(float(fields["seconds"]), 1.0), _LONGEST),
                taken_at=str(fields.get("taken_at", "")),
                stored={str(k): str(v) for k, v in fields.get("stored", {}).items()},
            )
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError, AttributeError):
            return cls("unknown", 0, 0, _UNKNOWN)


_UNKNOWN = 60.0
"""Seconds that nobody takes a record that cannot be read."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record as it was read."""

    record: Record
    version: str
    """What another write has to expect; in the words of whatever keeps the record."""


class Register(Protocol):
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
        """Let go of connections; the next call makes new ones."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The record as an agent that does not hold it last saw it."""

    found: Versioned | None
    since: float
    """When it was first seen so, in seconds of a clock that never stops or steps."""

    def again(self, found: Versioned | None, now: float) -> Sighting:
        """Look once more."""
        same = found is not None and self.found is not None and found.version == self.found.version
        return self if same else Sighting(found, now)

    def free_in(self, now: float) -> float:
        """Say in how many seconds it may be taken, should nobody renew it until then."""
        if self.found is None or self.found.record.free:
            return 0.0
        return max(self.since + self.found.record.seconds - now, 0.0)


def good_until(asked_at: float, seconds: float) -> float:
    """Say until when a holder may believe in a renewal.

    Arguments:
        asked_at: When it asked for it: what others saw, they saw no earlier.
        seconds: As the record says.
    """
    return asked_at + seconds * _SAFE
