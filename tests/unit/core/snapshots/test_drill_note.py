from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from raft_snapshot_agent.core.release import is_older, parse_release
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.signing import SigningKeys

NOTE = DrillNote(
    snapshot="a.snap",
    passed=True,
    at="2026-11-26T10:00:00Z",
    seconds=9.5,
    sha256="ab" * 32,
    server="openbao 2.7.2",
    proved="active, mounts: 4",
)
KEYS = SigningKeys(b"k" * 32)


def test_it_comes_back_as_it_was() -> None:
    assert DrillNote.from_json(NOTE.to_json(), "a.snap") == NOTE


def test_it_says_the_day_and_why() -> None:
    failed = replace(NOTE, passed=False, reason="canary 1 of 2 is different")
    assert str(NOTE) == "passed 2026-11-26"
    assert str(failed) == "failed 2026-11-26: canary 1 of 2 is different"


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": "b.snap"},
        {"passed": "yes"},
        {"passed": 1},
        {"seconds": "long"},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"seconds": 10**400},
        {"seconds": -1},
        {"at": "yesterday"},
        {"server": "two\nlines"},
        {"reason": "x" * 5000},
        {"proved": None},
        {"signature": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_somebody_else_made_up_is_none(change: dict[str, Any]) -> None:
    text = json.dumps({**asdict(NOTE), **change}).encode()
    assert DrillNote.from_json(text, "a.snap") is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_note_is_none(text: bytes) -> None:
    assert DrillNote.from_json(text, "a.snap") is None


def test_a_signature_holds_for_this_note_alone() -> None:
    signed = NOTE.sign(KEYS)

    assert signed.is_signed(KEYS)
    assert signed.is_signed(SigningKeys(b"n" * 32, (b"k" * 32,)))
    assert not NOTE.is_signed(KEYS)
    assert not signed.is_signed(SigningKeys(b"o" * 32))
    for change in ({"passed": False}, {"snapshot": "b.snap"}, {"at": "2027-01-01T00:00:00Z"}):
        assert not replace(signed, **change).is_signed(KEYS)
    assert NOTE.sign(None) == NOTE


def test_releases_are_compared_by_their_numbers() -> None:
    assert parse_release("1.16.2+ent") == (1, 16, 2)
    assert parse_release("2.10-rc1") == (2, 10, 0)
    assert parse_release("unknown") is None
    assert is_older("2.7.2", "2.10.0")
    assert not is_older("2.7.2", "2.7.2")
    assert not is_older("2.7.2", "")
