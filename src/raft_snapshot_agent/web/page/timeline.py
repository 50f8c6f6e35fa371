"""The last slots of a cluster, each stored, failed or missing, so that gaps are visible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.status import ClusterStatus, RunSummary
from raft_snapshot_agent.web.page.words import clock

SLOTS = 48
"""Slots that are shown: with hourly snapshots two days."""
STEP = 14
"""Width of a slot, in units of the SVG."""
_HEIGHTS = {"ok": 40, "other": 40, "partial": 26, "failed": 12, "missing": 40, "before": 0}
HEIGHT = 40
_LABELS = {
    "ok": "stored",
    "other": "stored earlier, or by another agent",
    "partial": "stored in some storages only",
    "failed": "failed",
    "missing": "missing: no snapshot was taken",
}
_KINDS = {Outcome.OK: "ok", Outcome.PARTIAL: "partial", Outcome.FAILED: "failed"}
_WORTH = ("ok", "partial", "other", "failed")
"""Results, best first: of several in one slot, the best is shown."""


@dataclass(frozen=True, slots=True)
class SlotMark:
    """One slot."""

    kind: str
    x: int
    title: str

    @property
    def height(self) -> int:
        """Height of its bar: colour alone is not enough to distinguish results."""
        return _HEIGHTS[self.kind]

    @property
    def y(self) -> int:
        """Top of its bar."""
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Timeline:
    """The last slots, oldest first."""

    marks: tuple[SlotMark, ...]
    summary: str
    """The same as one sentence."""
    begins: str
    ends: str

    width = SLOTS * STEP
    height = HEIGHT


def draw_timeline(cluster: ClusterStatus, now: datetime) -> Timeline | None:
    """Return the last slots of a cluster; `None` if no snapshot was ever taken.

    Arguments:
        cluster: The status of the cluster.
        now: The present time.
    """
    taken = sorted({one.taken_at for one in _list_stored(cluster)})
    moments = sorted({*taken, *(one.started_at for one in cluster.runs)})
    gap = _find_interval(cluster, moments)
    if not moments or gap is None:
        return None
    # Half an interval later, so that the current slot is not shown as a gap.
    end = moments[-1] + max((now - moments[-1]) // gap, 0) * gap + gap / 2
    kinds = _sort_into_slots(cluster.runs, taken, end, gap)
    first = (end - moments[0]) // gap
    marks = tuple(
        _mark(back, kinds.get(back) or ("missing" if back < first else "before"), end, gap)
        for back in reversed(range(SLOTS))
    )
    counts = Counter(one.kind for one in marks if one.kind != "before")
    told = [f"{counts[kind]} {_LABELS[kind].partition(':')[0]}" for kind in _LABELS if counts[kind]]
    return Timeline(marks, ", ".join(told), clock(end - (SLOTS - 0.5) * gap), clock(end - gap / 2))


def _sort_into_slots(
    runs: Iterable[RunSummary], taken: Iterable[datetime], end: datetime, gap: timedelta
) -> dict[int, str]:
    """Return the result of each slot, by its number counted back from the end."""
    found: dict[int, list[str]] = {}
    ours = set()
    for run in runs:
        if run.outcome in _KINDS:
            back = (end - run.started_at) // gap
            ours.add(back)
            found.setdefault(back, []).append(_KINDS[run.outcome])
    for moment in taken:
        back = (end - moment) // gap
        if back not in ours:
            found.setdefault(back, []).append("other")
    return {back: min(kinds, key=_WORTH.index) for back, kinds in found.items()}


def _mark(back: int, kind: str, end: datetime, gap: timedelta) -> SlotMark:
    at = end - (back + 0.5) * gap
    title = f"{clock(at)}: {_LABELS[kind]}" if kind in _LABELS else ""
    return SlotMark(kind, (SLOTS - 1 - back) * STEP, title)


def _find_interval(cluster: ClusterStatus, moments: list[datetime]) -> timedelta | None:
    """Return the interval between snapshots: the configured one, else the median."""
    told = [one.interval for one in cluster.storages if one.interval]
    if told:
        return min(told)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    return timedelta(seconds=median(gaps)) if gaps and median(gaps) > 0 else None


def _list_stored(cluster: ClusterStatus) -> Iterable[Stored]:
    for storage in cluster.storages:
        yield from (one for one in storage.snapshots[: 4 * SLOTS] if one.is_counted)
