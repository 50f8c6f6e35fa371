from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.snapshots.snapshot import FORMAT, Manifest, Stored

MANIFEST = Manifest(
    snapshot="raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap",
    taken_at="2026-11-23T15:30:00Z",
    index=4711,
    term=3,
    size=20,
    sha256="ab" * 32,
    duration=1.5,
    cluster_id="3f9c",
    cluster_name="prod",
    product="openbao",
    version="2.5.0",
    node="https://10.0.0.1:8200",
    agent_version="0.1.0",
)


def changed(**fields: Any) -> bytes:
    return json.dumps(asdict(MANIFEST) | fields).encode()


def without(field: str) -> bytes:
    return json.dumps(
        {key: value for key, value in asdict(MANIFEST).items() if key != field}
    ).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_manifest_is_a_json_object_on_lines_a_person_can_read() -> None:
    text = MANIFEST.to_json()

    assert json.loads(text)["index"] == 4711
    assert json.loads(text)["format"] == FORMAT
    assert text.endswith(b"\n}\n")
    assert b'\n  "index": 4711,\n' in text


@given(text=st.text(), number=st.integers(0, 2**64 - 1), duration=st.floats(0, 1e9))
def test_any_values_survive(text: str, number: int, duration: float) -> None:
    manifest = replace(MANIFEST, cluster_name=text, index=number, duration=duration)

    assert Manifest.from_json(manifest.to_json()) == manifest


def test_fields_of_later_versions_are_passed_over() -> None:
    assert Manifest.from_json(changed(format=2, mood="good")) == replace(MANIFEST, format=2)


def test_fields_that_came_later_have_defaults() -> None:
    assert Manifest.from_json(without("encryption")).encryption == "none"


def test_a_whole_number_of_seconds_is_a_duration() -> None:
    assert Manifest.from_json(changed(duration=2)).duration == 2


@pytest.mark.parametrize("field", ["snapshot", "index", "sha256", "agent_version"])
def test_a_manifest_without_a_field_is_incomplete(field: str) -> None:
    with pytest.raises(ValueError, match=f"incomplete.*{field}"):
        Manifest.from_json(without(field))


@pytest.mark.parametrize(
    "field",
    [
        {"size": "20"},
        {"size": None},
        {"size": 20.0},
        {"index": True},
        {"sha256": 5},
        {"duration": "1s"},
        {"snapshot": ["a"]},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"the manifest's {next(iter(field))} is "):
        Manifest.from_json(changed(**field))


def test_only_what_grows_with_the_history_may_be_long() -> None:
    with pytest.raises(ValueError, match="the manifest's cluster_id has 4001 characters"):
        Manifest.from_json(changed(cluster_id="x" * 4001))
    assert Manifest.from_json(changed(known="x" * 4001, counts="x" * 4001)).known == "x" * 4001


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"5", b"null", b"{", b"\xff\xfe\xfd", b"[" * 200_000, b'{"index": 1']
)
def test_what_is_no_manifest_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        Manifest.from_json(text)


@pytest.mark.parametrize(("size", "broken"), [(0, True), (1, False)])
def test_an_empty_snapshot_is_broken(size: int, *, broken: bool) -> None:
    assert Stored("a.snap", datetime(2026, 11, 23, tzinfo=UTC), size).broken is broken
