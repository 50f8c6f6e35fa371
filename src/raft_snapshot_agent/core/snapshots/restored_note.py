"""Whose word the note of a restore is: a forged one lets another cluster's snapshots pass."""

from __future__ import annotations

from dataclasses import asdict, replace

from raft_snapshot_agent.core.snapshots.notes import Restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys

_PURPOSE = b"raft-snapshot-restored-1\n"


def write_restored(note: Restored, keys: SigningKeys | None) -> bytes:
    """Return the note as it is stored, signed where there is a key."""
    if keys is None:
        return note.to_json()
    return replace(note, signature=keys.sign_note(_PURPOSE, _told(note))).to_json()


def is_believed(note: Restored, keys: SigningKeys | None) -> bool:
    """Return whether one of the keys made its signature, where there are any.

    One of an agent that had none is not believed either: at most it costs an alarm and a look.
    """
    return keys is None or keys.has_signed_note(_PURPOSE, _told(note), note.signature)


def _told(note: Restored) -> dict[str, object]:
    return {key: value for key, value in asdict(note).items() if key != "signature"}
