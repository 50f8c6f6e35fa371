"""What is read back next, and what a note of that may claim."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Stored

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = SigningKeys(b"k" * 32)
OTHERS = SigningKeys(b"o" * 32)


def stored(*hours: int, size: int = 9) -> tuple[Stored, ...]:
    """Snapshots of so many hours ago, newest first."""
    return tuple(Stored(f"{at}h", NOW - at * HOUR, size) for at in hours)


def read(**ago: int) -> ScrubNote:
    """A note of what was read so many hours ago."""
    return ScrubNote({name: LastReading(NOW - at * HOUR) for name, at in ago.items()})


def chosen(note: ScrubNote, *hours: int, count: int = 1) -> list[str]:
    return [one.name for one in note.choose(stored(*hours), count, 0.5)]


def test_what_was_never_read_goes_first_the_oldest_of_it_before_the_others() -> None:
    note = ScrubNote({"3h": LastReading(NOW), "1h": LastReading(NOW - HOUR)})

    assert chosen(note, 1, 2, 3, 4, count=9) == ["4h", "2h", "1h", "3h"]
    assert chosen(note, 1, 3) == ["1h"]


def test_all_are_read_in_turn_whatever_comes_and_goes() -> None:
    note, seen = ScrubNote(), list[str]()
    for turn in range(8):
        listing = stored(*range(6 if turn < 4 else 5))
        (one,) = note.choose(listing, 1, 0.0)
        note = note.with_reading(one.name, LastReading(NOW + turn * HOUR))
        note = note.about(listing, None).after_look((), NOW)
        seen.append(one.name)

    assert seen == ["5h", "4h", "3h", "2h", "1h", "0h", "4h", "3h"]


def test_what_was_rotten_is_read_again_beside_the_others() -> None:
    note = read().with_reading("1h", LastReading(NOW, "broken"))

    assert chosen(note, 1, 2, 3) == ["1h", "3h"]
    assert note.rotten == ("1h",)


def test_an_empty_one_is_known_to_be_broken_without_being_read() -> None:
    assert ScrubNote().choose(stored(1, size=0), 1, 0.0) == []


def test_what_is_gone_is_forgotten() -> None:
    note = read().with_reading("1h", LastReading(NOW, "broken"))

    assert note.about(stored(2), None).rotten == ()
    assert note.about(stored(1), None).rotten == ("1h",)


def test_what_was_exchanged_is_not_called_corrupted() -> None:
    note = ScrubNote({"1h": LastReading(NOW, "mismatch"), "2h": LastReading(NOW, "broken")})

    assert note.doubts == [
        "2h is corrupted when it was read back",
        "1h is not what its manifest describes",
    ]


def test_what_was_replaced_or_is_back_is_forgotten() -> None:
    (latest,) = stored(1)
    note = ScrubNote({latest.name: LastReading(NOW - 2 * HOUR, "broken")}, ("2h", "3h"), NOW)

    assert note.about([latest], latest.name).doubts == [
        "2h and others are missing, but not deleted by retention"
    ]
    assert note.about([latest], None).rotten == (latest.name,), "a name by time is never replaced"
    assert note.about(stored(2), None).vanished == ("3h",)


def test_it_stays_small_and_keeps_what_is_rotten() -> None:
    name = "n" * 240
    note = ScrubNote().with_reading("rotten", LastReading(NOW - 9999 * HOUR, "broken"))
    many = {f"{name}{number}": LastReading(NOW - number * HOUR) for number in range(2999)}
    note = ScrubNote({**note.readings, **many})
    for number in range(20):
        note = note.with_reading(f"{name}new{number}", LastReading(NOW))

    assert len(note.readings) == 3000
    assert note.rotten == ("rotten",)
    assert f"{name}2998" not in note.readings, "the oldest goes"
    assert len(note.to_json(KEYS)) < 1 << 20
    listing = stored(*range(4000))
    begun = {note.choose(listing, 1, chance)[0].name for chance in (0.0, 0.3, 0.6)}
    assert len(begun) == 3, "none is left out for ever where not all are remembered"


def test_it_is_read_as_it_was_written() -> None:
    note = ScrubNote({"a": LastReading(NOW, "mismatch")}, ("gone",), NOW)

    assert ScrubNote.from_json(note.to_json(None), None, NOW) == note
    assert ScrubNote.from_json(note.to_json(KEYS), KEYS, NOW) == note


def test_with_a_key_nobody_else_says_what_was_read() -> None:
    note = ScrubNote({"a": LastReading(NOW)}, (), NOW)

    for text in (note.to_json(None), note.to_json(OTHERS)):
        assert ScrubNote.from_json(text, KEYS, NOW) == ScrubNote()


def test_a_reading_from_the_future_puts_no_other_off() -> None:
    note = ScrubNote({"a": LastReading(NOW + 9 * HOUR), "b": LastReading(NOW)}, (), NOW + HOUR)

    found = ScrubNote.from_json(note.to_json(None), None, NOW)

    assert found == ScrubNote({"b": LastReading(NOW)})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps({"looked_at": "", "vanished": [], "read": {"a": ["x"]}}).encode(),
        json.dumps({"looked_at": "", "vanished": [], "read": []}).encode(),
        json.dumps({"looked_at": 3, "vanished": 4, "read": {}}).encode(),
        json.dumps({"looked_at": "", "vanished": [], "read": {"a": ["2026", "fine"]}}).encode(),
        json.dumps({"looked_at": "", "vanished": [], "read": {"a": [7, "whole"]}}).encode(),
    ],
)
def test_what_is_none_tells_nothing(text: bytes) -> None:
    assert ScrubNote.from_json(text, None, NOW) == ScrubNote()


def test_the_later_of_two_is_believed() -> None:
    mine = ScrubNote({"a": LastReading(NOW), "b": LastReading(NOW - HOUR)}, ("x",), NOW)
    noted = ScrubNote({"b": LastReading(NOW, "broken")}, (), NOW - HOUR)

    both = mine.merged(noted)

    assert both.readings == {"a": LastReading(NOW), "b": LastReading(NOW, "broken")}
    assert (both.vanished, both.looked_at) == (("x",), NOW)
    assert noted.merged(mine) == both
