"""Signs and verifies the note of a restore; a forged one would hide that the cluster changed."""

from __future__ import annotations

from dataclasses import asdict, replace

from raft_snapshot_agent.core.snapshots.notes import Restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys

_PURPOSE = b"raft-snapshot-restored-1\n"


def write_restored(note: Restored, keys: SigningKeys | None) -> bytes:
    """Return the note for storage, signed if there is a key."""
    if keys is None:
        return note.to_json()
    return replace(note, signature=keys.sign_note(_PURPOSE, _list_signed_fields(note))).to_json()


def is_believed(note: Restored, keys: SigningKeys | None) -> bool:
    """Return whether its signature is by one of the keys, or there are no keys.

    An unsigned note of an agent without a key is not trusted either, which at worst costs an alarm.
    """
    return keys is None or keys.has_signed_note(_PURPOSE, _list_signed_fields(note), note.signature)


def _list_signed_fields(note: Restored) -> dict[str, object]:
    return {key: value for key, value in asdict(note).items() if key != "signature"}
