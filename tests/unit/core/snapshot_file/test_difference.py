"""Two snapshots are compared in one pass, in whatever pieces their entries come."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.snapshot_file.difference import Difference, Side
from raft_snapshot_agent.core.snapshot_file.entries import StateEntry
from raft_snapshot_agent.errors import VerificationError

KEYS = st.sampled_from([f"{kind}/{key}".encode() for kind in ("core", "wal") for key in "abcdefg"])
STATES = st.dictionaries(KEYS, st.binary(max_size=3), max_size=14)


def entries(state: dict[bytes, bytes]) -> list[StateEntry]:
    return [StateEntry(key, len(value), value) for key, value in sorted(state.items())]


@given(STATES, STATES, st.randoms(use_true_random=False))
def test_each_key_is_counted_once(
    before: dict[bytes, bytes], after: dict[bytes, bytes], chance: random.Random
) -> None:
    found = compared(entries(before), entries(after), chance)

    both = before.keys() & after.keys()
    expected = {
        "added": Counter(_kind(key) for key in after.keys() - both),
        "removed": Counter(_kind(key) for key in before.keys() - both),
        "changed": Counter(_kind(key) for key in both if before[key] != after[key]),
        "unchanged": Counter(_kind(key) for key in both if before[key] == after[key]),
    }
    for what, counts in expected.items():
        told = {mount.kind: getattr(change, what) for mount, change in found.mounts.items()}
        assert {kind: count for kind, count in told.items() if count} == dict(counts)
    grown = sum(map(len, after.values())) - sum(map(len, before.values()))
    assert sum(change.size for change in found.mounts.values()) == grown


def compared(
    before: list[StateEntry], after: list[StateEntry], chance: random.Random
) -> Difference:
    difference = Difference()
    sides = [(difference.before, before), (difference.after, after)]
    while not all(side.ended and side.is_empty for side, _ in sides):
        for side, left in sides:
            if side.is_empty and not side.ended:
                count = chance.randint(0, 3)
                side.add(left[:count])
                del left[:count]
                side.ended = not left
        difference.compare()
    return difference


@pytest.mark.parametrize("second", [b"a", b"b"])
def test_entries_out_of_order_are_told(second: bytes) -> None:
    side = Side()
    side.add([StateEntry(b"b", 1)])
    with pytest.raises(VerificationError, match="not in the order of their keys"):
        side.add([StateEntry(second, 1)])


def _kind(key: bytes) -> str:
    return key.partition(b"/")[0].decode()
