from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from raft_snapshot_agent.core.snapshots.layout import list_forms
from raft_snapshot_agent.core.snapshots.naming import (
    AGENT,
    FORK,
    LONGEST_NAME,
    Layout,
    ParsedName,
    catalogue,
    parse,
    snapshot_name,
)
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.storage.leftovers import fresh_partial

NOON = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02T15-04-05Z-0700", "%Y-%m-%dT%H-%M-%SZ%z"),
        ("20060102150405", "%Y%m%d%H%M%S"),
        ("Monday, 02-Jan-06", "%A, %d-%b-%y"),
        ("%Y%m%d-%H%M%S", "%Y%m%d-%H%M%S"),
    ],
)
def test_go_layouts_and_strftime_are_understood(layout: str, expected: str) -> None:
    assert list_forms(layout) == (expected,)


def test_an_unknown_directive_is_named() -> None:
    with pytest.raises(ValueError, match="'%Q' is no directive"):
        list_forms("%Y%Q")


@pytest.mark.parametrize(
    ("zone", "written", "others"),
    [
        ("Z07:00", "Z", ["Z07:00", "+02:00", "+00:00"]),
        ("Z0700", "Z", ["+0000", "+0200"]),
        ("Z07", "Z", ["Z07"]),
        ("-07:00", "+00:00", ["-07:00", "+02:00"]),
        ("-0700", "+0000", ["+0200", "-0330"]),
        ("-07", "+00", ["-07"]),
        ("MST", "UTC", ["MST"]),
        (".000", ".000", [".123"]),
        (",000000Z07:00", ",000000Z", [",123456Z", ",123456+02:00", ",000000Z07:00"]),
    ],
)
def test_an_element_means_what_it_does_in_go(zone: str, written: str, others: list[str]) -> None:
    """What an earlier version wrote in its place, and another agent in its zone, is known, too."""
    naming = Layout("vault-", f"2006-01-02T15-04-05{zone}", ".s")

    assert naming.name(naming.run(NOON, "0a1b2c"), 7) == f"vault-2026-11-23T15-30-00{written}.s"
    for ending in (written, *others):
        parsed = parse(f"vault-2026-11-23T15-30-00{ending}.s", naming, has_manifest=True)
        assert parsed is not None, ending
        assert abs(parsed.taken_at - NOON) < timedelta(hours=4)
    for ending in ("", "z", "+2:00", "+02", "EST", ".12", ".1234567"):
        assert parse(f"vault-2026-11-23T15-30-00{ending}.s", naming) is None, ending


def test_the_offset_in_a_name_counts() -> None:
    parsed = parse("v2026-11-23T17-30-00+02:00", Layout("v", "2006-01-02T15-04-05Z07:00", ""))

    assert parsed == ParsedName(NOON, None, None)


@pytest.mark.parametrize(
    ("beside", "zone", "ahead"),
    [
        ({}, "-06:00", 6),
        ({}, "-07:00", 7),
        ({}, "-08:00", 8),
        ({}, "+00:00", 0),
        ({".json": 300}, "-07:00", 0),
        ({".json": 300}, "-08:00", 8),
        ({".hold": 3}, "-07:00", 7),
    ],
)
def test_only_beside_a_manifest_an_offset_may_be_what_an_earlier_version_wrote(
    beside: dict[str, int], zone: str, ahead: int
) -> None:
    name = f"v2026-11-23T15-30-00{zone}.snap"
    files = {name: 9, **{name + ending: size for ending, size in beside.items()}}
    layout = Layout("v", "2006-01-02T15-04-05-07:00")

    (found,) = catalogue(files.items(), layout)

    assert found.taken_at == NOON + timedelta(hours=ahead)


@pytest.mark.parametrize(
    ("timestamp", "element"),
    [
        ("2006-1-02T15-04", "1"),
        ("2006-01-_2T15-04", "_2"),
        ("2006-__2T15-04", "__2"),
        ("2006-01-02T3-04pm", "3"),
        ("2006-01-02T03-04pm", "pm"),
        ("2006-01-02T15-04-05.999999999", ".999999999"),
        ("2006-01-02T15-04-05.000000000", ".000000000"),
        ("2006-01-02T15-04-05-070000", "-070000"),
        ("2006-01-02T15-04-05Z07:00:00", "Z07:00:00"),
    ],
)
def test_an_element_of_go_without_equivalent_is_refused(timestamp: str, element: str) -> None:
    with pytest.raises(ValueError, match=f"^'{element}' is an element of Go's layouts that is"):
        Layout("vault-", timestamp)


@pytest.mark.parametrize("timestamp", ["_2006.01.02-15.04.05", "2006.002,15.04"])
def test_what_only_begins_like_an_element_is_none(timestamp: str) -> None:
    assert len(list_forms(timestamp)) == 1
    Layout("vault-", timestamp)


def test_the_forks_names_tell_their_time_in_any_zone() -> None:
    expected = ParsedName(NOON, None, None)

    assert parse("raft-snapshot-2026-11-23T15-30-00Z+0000.snap") == expected
    assert parse("raft-snapshot-2026-11-23T16-30-00Z+0100.snap") == expected


@pytest.mark.parametrize(
    "name",
    [
        "raft-snapshot-2026-11-23T15-30-00Z.snap",
        "raft-snapshot-2026-11-23T15-30-0Z+0000.snap",
        "raft-snapshot-2026-13-23T15-30-00Z+0000.snap",
        "raft-snapshot-2026-11-23T15-30-00Z+00:00.snap",
        "raft-snapshot-2026-11-23T15-30-00Z+0000.snap.old",
        "my-raft-snapshot-2026-11-23T15-30-00Z+0000.snap",
        "raft-snapshot-.snap",
    ],
)
def test_what_only_looks_like_a_name_of_the_fork_is_foreign(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize(
    "naming",
    [
        FORK,
        Layout("vault-", "%Y%m%d-%H%M%S", ".bak"),
        Layout("a", "2006-01-02 15h04", ""),
        Layout("", "%Y-%jT%H%M"),
    ],
)
def test_names_of_a_layout_are_known_only_where_it_is_configured(naming: Layout) -> None:
    run = naming.run(NOON.astimezone(timezone(timedelta(hours=5))), "0a1b2c")
    name = naming.name(run, 7)

    parsed = parse(name, naming)
    assert parsed is not None
    assert parsed.taken_at.date() == NOON.date()
    assert naming is FORK or parse(name) is None
    assert [one.name for one in catalogue([(name, 1), ("README", 1)], naming)] == [name]
    assert parse(AGENT.name(run, 7), naming) is not None


@pytest.mark.parametrize("timestamp", ["20060102150405", "%Y%m%d%H%M%S00000", "%Y%m%d%H%M9999999"])
def test_names_of_a_layout_like_the_originals_tell_the_time_of_the_layout(timestamp: str) -> None:
    naming = Layout("raft_snapshot-", timestamp)
    run = naming.run(NOON, "0a1b2c")

    assert parse(naming.name(run, 7), naming) == ParsedName(NOON, None, None)
    assert parse("raft_snapshot-1795447800000000255.snap", naming) is not None


@pytest.mark.parametrize(
    "timestamp", ["", "%H%M%S", "15-04", "%d", "%Y", "daily", "%Y-%m-%d", "2006-01-02 15"]
)
def test_a_layout_that_does_not_tell_the_time_is_refused(timestamp: str) -> None:
    with pytest.raises(ValueError, match="does not tell the time to the minute"):
        Layout("vault-", timestamp)


@pytest.mark.parametrize("timestamp", ["2006/01/02-1504", "%Y/%m/%d-%H%M", "%Y%m%d-%H%M\t"])
def test_a_layout_whose_names_are_no_file_names_is_refused(timestamp: str) -> None:
    with pytest.raises(ValueError, match="is no part of a file name"):
        Layout("vault-", timestamp)


def test_a_layout_leaves_room_for_the_files_beside_a_snapshot(tmp_path: Path) -> None:
    timestamp = "%Y%m%d-%H%M"
    longest = Layout("v" * (LONGEST_NAME - 18), timestamp)
    name = longest.name(longest.run(NOON, "0a1b2c"), 7)
    (tmp_path / fresh_partial(Sidecar.MISMATCH.name_for(name))).touch()
    with pytest.raises(ValueError, match="its names have 221 bytes, more than 220"):
        Layout("v" * (LONGEST_NAME - 17), timestamp)


@pytest.mark.parametrize("suffix", [".json", ".hold", ".broken"])
def test_a_suffix_that_means_something_else_is_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="beside a snapshot"):
        Layout("vault-", "%Y%m%d", suffix)


@pytest.mark.parametrize("ending", ["", ".json", ".hold", ".broken"])
def test_what_lies_beside_a_snapshot_belongs_to_it(ending: str) -> None:
    assert snapshot_name(f"a.snap{ending}") == "a.snap"


def test_notes_beside_a_snapshot_are_read_from_the_listing() -> None:
    names = [f"raft-snapshot-20261123T15{minute}00Z-i7.snap" for minute in (30, 31, 32)]
    notes = [f"{names[0]}.hold", f"{names[1]}.broken", f"{names[1]}.json"]

    third, second, first = catalogue([(name, 9) for name in (*names, *notes)])

    assert (first.held, first.broken, first.verified) == (True, False, False)
    assert (second.held, second.broken, second.verified) == (False, True, True)
    assert (third.held, third.broken, third.verified) == (False, False, False)
