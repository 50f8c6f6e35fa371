"""The result of a drill, stored as a small note beside the snapshot.

Anyone with write access to the storage can write such a note, so only a signed one is proof.
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
"""Seconds, about thirty years: an upper limit that every JSON parser can represent."""


@dataclass(frozen=True, slots=True)
class DrillNote:
    """Whether a snapshot could be restored into a throw-away server, and what it contained."""

    snapshot: str
    """Name of the snapshot."""
    passed: bool
    at: str
    """Start time, RFC 3339 in UTC."""
    seconds: float
    """Seconds from the first byte read to the last check."""
    sha256: str = ""
    """SHA-256 of the restored snapshot; empty if it was broken."""
    server: str = ""
    """Product and version of the throw-away server; empty if none was started."""
    proved: str = ""
    """What was found in the restored server."""
    reason: str = ""
    """Why it failed."""
    signature: str = ""
    """Signature by the key that all agents of the cluster share; empty without a key."""

    def __str__(self) -> str:
        day = self.at[:10]
        return f"passed {day}" if self.passed else f"failed {day}: {self.reason}"

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    def sign(self, keys: SigningKeys | None) -> DrillNote:
        """Return the note with its signature, if there is a key."""
        if keys is None:
            return self
        return replace(self, signature=keys.sign_note(_PURPOSE, self._list_signed_fields))

    def is_signed(self, keys: SigningKeys) -> bool:
        """Return whether its signature is by one of the keys."""
        return keys.has_signed_note(_PURPOSE, self._list_signed_fields, self.signature)

    @property
    def line(self) -> str:
        """The result in one line, for log and command."""
        found = f"passed: {self.proved}" if self.passed else f"failed: {self.reason}"
        return f"The drill of {self.snapshot} {found}"

    @property
    def began(self) -> datetime | None:
        """Start time; `None` if it is invalid."""
        return moment(self.at)

    @property
    def _list_signed_fields(self) -> dict[str, object]:
        return {key: value for key, value in asdict(self).items() if key != "signature"}

    @classmethod
    def from_json(cls, text: bytes, snapshot: str) -> DrillNote | None:
        """Parse the note beside a snapshot; `None` if invalid or of another snapshot."""
        try:
            found = read_json(text)
            note = cls(**{one.name: found[one.name] for one in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None
        return note if _is_sound(note) and note.snapshot == snapshot else None


def _is_sound(note: DrillNote) -> bool:
    """Return whether every field is valid: each text must be one short line."""
    texts = (note.snapshot, note.at, note.sha256, note.server, note.proved, note.reason)
    return (
        all(isinstance(text, str) and text == one_line(text) for text in texts)
        and isinstance(note.signature, str)
        and isinstance(note.passed, bool)
        and type(note.seconds) in {int, float}
        and 0 <= note.seconds < _LONGEST
        and note.began is not None
    )
