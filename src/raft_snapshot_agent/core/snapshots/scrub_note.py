"""The note of a storage about when its snapshots were last read back, and with which result.

Anyone with write access can write such a note, so with a signing key only a signed one is trusted.
It decides what is read next and what is reported to an operator, never what is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.notes import moment, one_line
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, MISDESCRIBED, NO_TIME, Stored

WHOLE = "whole"
MISMATCH = "mismatch"
"""Whole, but another snapshot than the one that its manifest describes."""
_STATES = {WHOLE, "broken", MISMATCH}
_CORRUPTED = "corrupted when it was read back"
_PURPOSE = b"raft-snapshot-scrub-1\n"
_MOST = 3000
"""Most readings in a note, so that it stays within the size that is read."""
_MOST_VANISHED = 100
_REREAD = 3
"""Most damaged snapshots that are read again in one run."""


@dataclass(frozen=True, slots=True)
class LastReading:
    """When a snapshot was last read to its end, and the result."""

    at: datetime
    state: str = WHOLE

    @property
    def is_unusable(self) -> bool:
        return self.state != WHOLE

    def __str__(self) -> str:
        return f"{self.state} {self.at:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class ScrubNote:
    """Readings of the snapshots in one storage, and missing snapshots."""

    readings: Mapping[str, LastReading] = field(default_factory=dict)
    """Readings by snapshot name."""
    vanished: tuple[str, ...] = ()
    """Snapshots of which only the manifest exists."""
    looked_at: datetime | None = None
    """When the last reading started; `None` if never."""

    @property
    def rotten(self) -> tuple[str, ...]:
        """Names of the damaged and exchanged snapshots."""
        return tuple(name for name, one in self.readings.items() if one.is_unusable)

    @property
    def doubts(self) -> list[str]:
        """Damaged, exchanged and missing snapshots, as text for `check`."""
        found = [
            ([one for one in self.rotten if not self.is_exchanged(one)], _CORRUPTED),
            ([one for one in self.rotten if self.is_exchanged(one)], MISDESCRIBED),
            (self.vanished, "missing, but not deleted by retention"),
        ]
        return [
            f"{names[0]} {'and others are' if len(names) > 1 else 'is'} {what}"
            for names, what in found
            if names
        ]

    def is_exchanged(self, name: str) -> bool:
        """Return whether another snapshot was found under a name."""
        return name in self.readings and self.readings[name].state == MISMATCH

    def of(self, stored: Stored) -> LastReading | None:
        """Return the last reading of a snapshot; `None` if unknown."""
        return self.readings.get(stored.name)

    def with_reading(self, name: str, reading: LastReading) -> ScrubNote:
        """Return the note with one more reading; if there are too many, drop the oldest."""
        kept = dict(self.without(name).readings)
        if len(kept) >= _MOST:
            del kept[min(kept, key=lambda other: (kept[other].is_unusable, kept[other].at))]
        return replace(self, readings={**kept, name: reading})

    def about(self, stored: Collection[Stored], static_name: str | None) -> ScrubNote:
        """Return the note without what is no longer so.

        That are readings of deleted or replaced snapshots, and missing ones that are back.

        Arguments:
            stored: All snapshots.
            static_name: The name that each new snapshot gets, if it is always the same.
        """
        taken = {one.name: one.taken_at for one in stored}
        kept = {
            name: one
            for name, one in self.readings.items()
            if name in taken and not (name == static_name and one.at < taken[name])
        }
        return replace(
            self, readings=kept, vanished=tuple(one for one in self.vanished if one not in taken)
        )

    def without(self, name: str) -> ScrubNote:
        """Return the note without the reading of a snapshot that was replaced."""
        return replace(
            self, readings={other: one for other, one in self.readings.items() if other != name}
        )

    def after_look(self, vanished: Iterable[str], now: datetime) -> ScrubNote:
        """Return the note after a look for missing snapshots."""
        return replace(self, vanished=tuple(sorted(vanished)[:_MOST_VANISHED]), looked_at=now)

    def merged(self, other: ScrubNote) -> ScrubNote:
        """Return the note with the later reading of each snapshot."""
        known = dict(self.readings)
        for name, one in other.readings.items():
            if name not in known or known[name].at < one.at:
                known[name] = one
        later = max(self, other, key=lambda note: note.looked_at or NO_TIME)
        return ScrubNote(known, later.vanished, later.looked_at)

    def choose(self, stored: Sequence[Stored], count: int, chance: float) -> list[Stored]:
        """Return what to read next: damaged snapshots, then those read longest ago.

        Never read ones come before others, oldest first. If there are more snapshots than a note
        can hold, it is unknown which were never read, and a random start is used.

        Arguments:
            stored: All snapshots, newest first.
            count: Number to read in addition to damaged ones.
            chance: Random number from 0 to 1.
        """
        readable = [one for one in reversed(stored) if one.size]
        before = {*self.rotten}
        rotten = [one for one in readable if one.name in before][:_REREAD]
        others = [one for one in readable if one.name not in before]
        if len(self.readings) >= _MOST:
            start = int(chance * len(others))
            others = others[start:] + others[:start]
        others.sort(key=lambda one: self._read_at(one.name))
        return rotten + others[:count]

    def _read_at(self, name: str) -> datetime:
        reading = self.readings.get(name)
        return NO_TIME if reading is None else reading.at

    # The stored form.

    def to_json(self, keys: SigningKeys | None) -> bytes:
        """Return the note for storage, signed if there is a key."""
        told = {
            "looked_at": "" if self.looked_at is None else _format_time(self.looked_at),
            "vanished": list(self.vanished),
            "read": {
                name: [_format_time(one.at), one.state] for name, one in self.readings.items()
            },
        }
        signature = "" if keys is None else keys.sign_note(_PURPOSE, told)
        return (json.dumps({**told, "signature": signature}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes, keys: SigningKeys | None, now: datetime) -> ScrubNote:
        """Parse a note; damaged or unsigned ones and future times are ignored."""
        try:
            found = read_json(text)
            told = {key: found[key] for key in ("looked_at", "vanished", "read")}
            if keys is not None and not keys.has_signed_note(_PURPOSE, told, found["signature"]):
                return cls()
            pairs = found["read"].items()
            readings = {name: _reading(name, at, state, now) for name, (at, state) in pairs}
            known = {name: one for name, one in readings.items() if one is not None}
            vanished = tuple(one_line(name) for name in found["vanished"][:_MOST_VANISHED])
            return cls(known, vanished, _parse_past(found["looked_at"], now))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def has_signature(text: bytes) -> bool:
    """Return whether a note was written by somebody with a key, as far as it tells."""
    with suppress(ValueError, AttributeError):
        return bool(read_json(text).get("signature"))
    return False


def _reading(name: str, at: str, state: str, now: datetime) -> LastReading | None:
    time = _parse_past(at, now)
    is_sound = time is not None and state in _STATES and name == one_line(name)
    return LastReading(time, state) if is_sound and time else None


def _parse_past(text: str, now: datetime) -> datetime | None:
    """Parse a time, to the second as it is written; ignore one in the future.

    It would delay the next reading forever.
    """
    time = moment(text)
    return time.replace(microsecond=0) if time is not None and time <= now + AHEAD else None


def _format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
