from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from raft_snapshot_agent.core.history.guard import Judgement, Losses, Point, judge
from raft_snapshot_agent.core.snapshots.notes import Alarm, Restored
from raft_snapshot_agent.core.snapshots.snapshot import Manifest

NAME = "raft-snapshot-20261123T143000Z-i1000.snap"
BEFORE = Manifest(
    snapshot=NAME,
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
    clock="host",
    began=100.0,
    ended=101.0,
    leading_since="2026-11-23T10:00:00Z",
)
NOW = replace(
    BEFORE, snapshot="new.snap", taken_at="2026-11-23T15:30:00Z", index=1001, began=3700, ended=3701
)
ELSEWHERE = replace(NOW, clock="another host", began=7.0, ended=8.0)


def judged(now: Manifest, *others: Manifest, restored: Restored | None = None) -> Judgement:
    points = [Point.of(one) for one in others or (BEFORE,)]
    return judge(points, Point.of(now), Losses(0.5), restored)


def moved(manifest: Manifest, seconds: float) -> Manifest:
    """The same, so much later by every clock."""
    taken_at = datetime.fromisoformat(manifest.taken_at) + timedelta(seconds=seconds)
    return replace(
        manifest,
        taken_at=f"{taken_at:%Y-%m-%dT%H:%M:%SZ}",
        began=manifest.began + seconds,
        ended=manifest.ended + seconds,
    )


@pytest.mark.parametrize(
    "now",
    [
        NOW,
        ELSEWHERE,
        replace(NOW, index=1000),
        replace(NOW, size=5_000),
        replace(NOW, term=4),
        replace(NOW, cluster_id=""),
        replace(NOW, cluster_name="renamed", node="https://10.0.0.1:8200", version="2.8.0"),
    ],
)
def test_a_cluster_that_goes_on_raises_no_alarm(now: Manifest) -> None:
    assert judged(now).is_fine
    assert judged(replace(now, cluster_id="two"), replace(BEFORE, cluster_id="")).is_fine


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cluster_id": "two"}, "the cluster is another: two, before it was one"),
        ({"index": 999}, "the Raft index went back from 1000 to 999"),
        ({"index": 999, "term": 4}, "the Raft index went back from 1000 to 999"),
        ({"term": 2}, "the Raft term went back from 3 (index 1000) to 2 (index 1001)"),
        ({"size": 4_999}, "the snapshot shrank from 10000 to 4999 bytes"),
    ],
)
@pytest.mark.parametrize("now", [NOW, ELSEWHERE])
def test_a_wiped_or_swapped_or_rolled_back_cluster_does(
    now: Manifest, changed: dict[str, object], reason: str
) -> None:
    assert judged(replace(now, **changed)) == Judgement(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [0.0, 0.1, 1.0, 5.0])
def test_however_soon_on_one_host_an_index_that_went_back_is_an_alarm(after: float) -> None:
    """By a clock that nobody sets, whatever the wall clock says."""
    began = BEFORE.ended + after
    for taken_at in (BEFORE.taken_at, "2026-11-23T14:30:01Z", "2026-11-23T13:00:00Z"):
        now = replace(NOW, index=151, taken_at=taken_at, began=began, ended=began + 0.2)
        assert judged(now).alarm == "the Raft index went back from 1000 to 151"


def test_what_a_frozen_leader_completes_late_is_no_alarm() -> None:
    """It was asked before the other; the other was stored meanwhile."""
    late = replace(moved(BEFORE, -7), snapshot="late.snap", index=995, term=2, ended=102.0, size=1)

    assert judged(late).is_fine
    assert judged(replace(late, clock="another host", began=3.0, ended=12.0)).is_fine


def test_agents_whose_clocks_differ_raise_none_and_prune_nothing_until_it_is_clear() -> None:
    behind = replace(moved(BEFORE, 2), snapshot="b.snap", index=997, clock="another", began=5.0)
    found = judged(behind)

    assert found.alarm == ""
    assert "nothing is pruned this time: the Raft index is 997" in found.unsettled
    ahead = replace(moved(BEFORE, -2), index=1003, clock="another", began=5.0)
    assert judged(ahead).is_fine
    assert judged(replace(behind, cluster_id="two")).alarm
    assert judged(replace(behind, index=997, term=4)).alarm, "no cluster has such a history"


def test_what_was_not_clear_then_is_clear_later() -> None:
    behind = replace(moved(BEFORE, 2), snapshot="b.snap", index=997, clock="another", began=5.0)
    later = replace(moved(behind, 90), index=999)

    assert judged(later, behind, BEFORE).alarm == "the Raft index went back from 1000 to 999"
    assert judged(replace(later, index=1001), behind, BEFORE).is_fine


# A leader that has not heard that another leads.

DEPOSED = replace(
    moved(NOW, 1800),
    snapshot="deposed.snap",
    index=990,
    term=2,
    node="https://127.0.0.2:8200",
    leading_since="2026-11-23T08:00:00Z",
)


def test_a_deposed_leader_that_wakes_is_no_alarm() -> None:
    found = judged(DEPOSED)

    assert found.alarm == ""
    assert "may not have known that another node leads" in found.unsettled
    assert judged(replace(DEPOSED, leading_since="")).alarm == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"leading_since": "2026-11-23T16:00:00Z"},  # it began to lead after the other
        {"term": 3},  # one term has one leader
        {"cluster_id": "two"},
    ],
)
def test_a_cluster_that_was_rolled_back_is_no_deposed_leader(changed: dict[str, object]) -> None:
    assert judged(replace(DEPOSED, **changed)).alarm  # type: ignore[arg-type]


def test_nobody_is_deposed_for_a_minute() -> None:
    again = replace(moved(DEPOSED, 90), snapshot="again.snap", index=992)
    assert judged(again, DEPOSED, BEFORE).alarm == "the Raft index went back from 1000 to 992"
    at_once = replace(moved(DEPOSED, 5), snapshot="at once.snap", index=992)
    assert judged(at_once, DEPOSED, BEFORE).alarm == ""
    earlier = replace(moved(DEPOSED, -7200), index=900)  # while it led
    assert judged(DEPOSED, BEFORE, earlier).alarm == ""


# A restore by hand.

RESTORED = Restored("old.snap", "2026-11-23T15:00:00Z", "one", 500, 2_000, "host", 1900.0)


@pytest.mark.parametrize(
    "now",
    [
        replace(NOW, size=2_000),  # in place: the index counts on, the size is the old one's
        replace(NOW, index=510, term=9, size=2_000),  # by force: as a fresh cluster counts
        replace(NOW, index=1001, term=2),
        replace(ELSEWHERE, index=510, size=2_000),
    ],
)
def test_what_follows_on_a_restore_raises_no_alarm(now: Manifest) -> None:
    found = judged(now, restored=RESTORED)

    assert found.is_fine
    assert found.restored
    assert judged(now).alarm, "without word of the restore it would"


@pytest.mark.parametrize(
    "now",
    [
        replace(NOW, index=499),
        replace(NOW, cluster_id="two"),
        replace(NOW, size=999),
        replace(moved(NOW, -2100), index=600),  # taken before the restore
    ],
)
def test_what_does_not_follow_on_the_restore_does(now: Manifest) -> None:
    assert judged(now, restored=RESTORED).alarm


def test_after_the_restore_the_next_are_held_against_one_another() -> None:
    first = replace(NOW, index=510, size=2_000)
    second = replace(moved(NOW, 100), index=509, size=2_000)

    assert judged(second, first, restored=RESTORED).alarm
    assert judged(replace(second, index=511), first, BEFORE, restored=RESTORED).is_fine


@pytest.mark.parametrize("taken_at", ["once", "2026-11-23T15:30:00", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("duration", [1.0, float("inf"), float("nan"), 1e300])
def test_a_manifest_with_nonsense_for_times_is_held_against_too(
    taken_at: str, duration: float
) -> None:
    odd = replace(BEFORE, taken_at=taken_at, duration=duration, clock="")

    assert not judged(replace(NOW, index=3), odd).is_fine or taken_at.startswith("9999")


def test_how_much_a_cluster_may_shrink_is_the_operators_to_say() -> None:
    before, now = Point.of(BEFORE), Point.of(NOW)

    assert judge([before], replace(now, size=1), Losses(1.0)).is_fine
    assert judge([before], replace(now, size=9_999), Losses(0.0)).alarm


# Its notes.


def test_an_alarm_is_read_as_it_was_written() -> None:
    raised = Alarm("it went back", "new.snap", "2026-11-23T15:30:00Z")

    assert str(raised) == "it went back (since new.snap)"
    assert Alarm.from_json(raised.to_json()) == raised
    assert Restored.from_json(RESTORED.to_json()) == RESTORED


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"nonsense", b"[" * 100_000, b"\xff"])
def test_a_damaged_alarm_is_an_alarm_and_a_damaged_restore_is_none(text: bytes) -> None:
    assert "cannot be read" in str(Alarm.from_json(text))
    assert Restored.from_json(text) is None


def test_what_others_wrote_is_one_short_line() -> None:
    hostile = Alarm("\x1b[2Jgone\n\nAll is well\r" + "x" * 1000, "a\nb", "")

    shown = str(Alarm.from_json(hostile.to_json()))

    assert shown.isprintable()
    assert len(shown) < 650
