"""Which manifests make a snapshot count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.core.history.proof import Judge, is_trusted
from raft_snapshot_agent.core.snapshots.naming import AGENT, parse
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

SLOT = datetime(2026, 11, 27, 12, tzinfo=UTC)
NAME = AGENT.name(AGENT.run(SLOT, "0a1b2c"), 121)


def manifest(index: int, seconds: float) -> Manifest:
    taken_at = SLOT + timedelta(seconds=seconds)
    return Manifest(
        snapshot=NAME,
        taken_at=taken_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        index=index,
        term=3,
        size=1,
        sha256="0" * 64,
        duration=1.0,
        cluster_id="c",
        cluster_name="prod",
        product="openbao",
        version="2.7.2",
        node="http://127.0.0.1:8200",
        agent_version="0.1.0",
    )


@pytest.mark.parametrize(
    ("index", "seconds", "counts"),
    [
        (121, 0, True),
        (121, 59, True),
        (138, 0, True),
        (138, 46, True),
        (138, 3600, True),
        (138, -1, False),
        (138, 24 * 3600, False),
        (120, 46, False),
        (121, -60, False),
    ],
)
def test_a_later_attempt_of_a_slot_counts_under_the_name_of_the_first(
    index: int, seconds: float, counts: bool
) -> None:
    """It may come within the minute, and the index may be higher by then."""
    stored = Stored(NAME, SLOT, 1, 121, verified=True)
    assert Judge(AGENT).judge_stored(stored, manifest(index, seconds)).is_counted is counts


TOLD = manifest(121, 0)


@pytest.mark.parametrize(
    ("lying", "believed"),
    [
        (TOLD, True),
        (replace(TOLD, index=0), False),
        (replace(TOLD, size=0), False),
        (replace(TOLD, snapshot="another.snap"), False),
        (replace(TOLD, taken_at="2021-11-27T12:00:00Z"), False),
        (replace(TOLD, taken_at="once"), False),
        (replace(TOLD, taken_at="9999-12-31T23:59:59-23:00"), False),
    ],
)
def test_a_manifest_is_believed_that_agrees_with_name_and_listing(
    lying: Manifest, believed: bool
) -> None:
    stored = Stored(NAME, SLOT, 1, 121, verified=True)
    assert is_trusted(lying, stored, parse(NAME)) is believed
    assert is_trusted(TOLD, stored, None)
