from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from raft_snapshot_agent.core.guard import Alarm, alarm
from raft_snapshot_agent.core.snapshot import Manifest

BEFORE = Manifest(
    snapshot="old.snap",
    taken_at="2026-11-23T14:30:00Z",
    index=1000,
    term=3,
    size=10_000,
    sha256="00",
    duration=1.0,
    cluster_id="one",
    cluster_name="vault",
    product="openbao",
    version="2.7.2",
    node="https://127.0.0.1:8200",
    agent_version="0.1.0",
)
NOW = replace(BEFORE, snapshot="new.snap", taken_at="2026-11-23T15:30:00Z", index=1001)


@pytest.mark.parametrize(
    "now",
    [
        NOW,
        replace(NOW, index=1000),
        replace(NOW, size=5_000),
        replace(NOW, term=1),
        replace(NOW, cluster_id=""),
        replace(NOW, cluster_name="renamed", node="https://10.0.0.1:8200", version="2.8.0"),
    ],
)
def test_a_cluster_that_goes_on_raises_no_alarm(now: Manifest) -> None:
    assert alarm(BEFORE, now, 0.5) is None
    assert alarm(replace(BEFORE, cluster_id=""), replace(now, cluster_id="two"), 0.5) is None


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (replace(NOW, cluster_id="two"), "the cluster is another: two, before it was one"),
        (replace(NOW, index=999), "the Raft index went back from 1000 to 999"),
        (replace(NOW, size=4_999), "the snapshot shrank from 10000 to 4999 bytes"),
    ],
)
def test_a_wiped_or_swapped_cluster_does(now: Manifest, reason: str) -> None:
    found = alarm(BEFORE, now, 0.5)

    assert found == Alarm(reason, "new.snap", "2026-11-23T15:30:00Z")
    assert str(found) == f"{reason} (since new.snap)"
    assert Alarm.from_json(found.to_json()) == found


@pytest.mark.parametrize("seconds", [-3, -1, 0, 1, 4])
def test_agents_that_work_at_the_same_time_raise_none(seconds: int) -> None:
    """Either of them may store first, and either may hold more."""
    begun = datetime.fromisoformat(BEFORE.taken_at) + timedelta(seconds=seconds)
    beside = replace(NOW, taken_at=begun.isoformat(), duration=2.5, index=999, size=1)

    assert alarm(replace(BEFORE, duration=3.5), beside, 0.5) is None
    assert alarm(BEFORE, replace(beside, cluster_id="two"), 0.5) is not None


@pytest.mark.parametrize("seconds", [-3600, -5, 6])
def test_one_that_was_over_before_is_held_against_whatever_the_clock(seconds: int) -> None:
    begun = datetime.fromisoformat(BEFORE.taken_at) + timedelta(seconds=seconds)
    wiped = replace(NOW, taken_at=begun.isoformat(), index=3)

    assert alarm(replace(BEFORE, duration=3.5), wiped, 0.5) is not None


@pytest.mark.parametrize("taken_at", ["once", "2026-11-23T15:30:00", "9999-12-31T23:59:59Z"])
def test_a_manifest_with_another_time_is_held_against_too(taken_at: str) -> None:
    assert alarm(replace(BEFORE, taken_at=taken_at), replace(NOW, index=3), 0.5) is not None


def test_how_much_a_cluster_may_shrink_is_the_operators_to_say() -> None:
    empty = replace(NOW, size=1)

    assert alarm(BEFORE, empty, 1.0) is None
    assert alarm(BEFORE, replace(NOW, size=9_999), 0.0) is not None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"nonsense", b"[" * 100_000, b"\xff"])
def test_a_damaged_alarm_is_an_alarm(text: bytes) -> None:
    assert "cannot be read" in str(Alarm.from_json(text))
