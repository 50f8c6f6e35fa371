"""What came of a drill, as the small note beside a stored snapshot tells it.

Whoever may write in the storage may have written it: only one that is signed proves anything.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.notes import moment, one_line
from raft_snapshot_agent.core.snapshots.signing import SigningKeys

_PURPOSE = b"raft-snapshot-drill-1\n"
_LONGEST = 1e9
"""Seconds, some thirty years: no drill takes that long, and nothing larger is a number to all."""


@dataclass(frozen=True, slots=True)
class DrillNote:
    """Whether a snapshot was brought to life in a throw-away server, and what was found there."""

    snapshot: str
    """Name of the snapshot."""
    passed: bool
    at: str
    """When it began, RFC 3339 in UTC."""
    seconds: float
    """From the first byte that was read to the last proof."""
    sha256: str = ""
    """Of the snapshot that was restored; empty: it was not whole."""
    server: str = ""
    """Product and version of the throw-away server; empty: none was started."""
    proved: str = ""
    """What was found in it."""
    reason: str = ""
    """Why it failed."""
    signature: str = ""
    """By the key that all agents of the cluster share; empty: there is none."""

    def __str__(self) -> str:
        day = self.at[:10]
        return f"passed {day}" if self.passed else f"failed {day}: {self.reason}"

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    def sign(self, keys: SigningKeys | None) -> DrillNote:
        """Return it with its signature, where there is a key."""
        if keys is None:
            return self
        return replace(self, signature=keys.sign_note(_PURPOSE, self._told))

    def is_signed(self, keys: SigningKeys) -> bool:
        """Return whether one of the keys made its signature."""
        return keys.has_signed_note(_PURPOSE, self._told, self.signature)

    @property
    def line(self) -> str:
        """The one line that the log and the command say of it."""
        found = f"passed: {self.proved}" if self.passed else f"failed: {self.reason}"
        return f"The drill of {self.snapshot} {found}"

    @property
    def began(self) -> datetime | None:
        """When it began; nothing where that is no time."""
        return moment(self.at)

    @property
    def _told(self) -> dict[str, object]:
        return {key: value for key, value in asdict(self).items() if key != "signature"}

    @classmethod
    def from_json(cls, text: bytes, snapshot: str) -> DrillNote | None:
        """Read the note beside a snapshot; nothing where it is none, or another snapshot's."""
        try:
            found = read_json(text)
            note = cls(**{one.name: found[one.name] for one in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None
        return note if _is_sound(note) and note.snapshot == snapshot else None


def _is_sound(note: DrillNote) -> bool:
    """Return whether every field is what it should be: all texts are one short line."""
    texts = (note.snapshot, note.at, note.sha256, note.server, note.proved, note.reason)
    return (
        all(isinstance(text, str) and text == one_line(text) for text in texts)
        and isinstance(note.signature, str)
        and isinstance(note.passed, bool)
        and type(note.seconds) in {int, float}
        and 0 <= note.seconds < _LONGEST
        and note.began is not None
    )
