"""Which manifests are read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.adversary.history import manifest_for

from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.destination.remembered import Remembered

NAME = "raft-snapshot-20261123T000000Z-i4711-0a1b2c.snap"
STORED = Stored(NAME, datetime(2026, 11, 23, tzinfo=UTC), 21_529, verified=True, manifest_size=900)


def test_a_manifest_that_may_have_been_replaced_is_read_again() -> None:
    told, remembered = manifest_for(NAME, b"x"), Remembered()
    unknown = replace(STORED, manifest_size=0)

    for stored in (STORED, unknown):
        remembered.note(stored, told)

    assert remembered.recall(STORED, whole=False) == told
    assert remembered.recall(unknown, whole=False) is None
    assert remembered.recall(replace(STORED, manifest_size=901), whole=False) is None
