"""Size and Raft index of the stored snapshots over time; gaps and decreases are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.web.page import words

WIDTH, HEIGHT = 640, 120
_EDGE = 6
_SHRUNK = 0.5
"""A snapshot smaller than this fraction of the previous one is marked."""
_APART = 1.5
"""Intervals between two snapshots above which one is missing."""
_MOST = 240


@dataclass(frozen=True, slots=True)
class Spot:
    """A mark at one snapshot."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One line over time, interrupted where snapshots are missing."""

    name: str
    pieces: tuple[str, ...]
    """Points of each uninterrupted piece, in the format of SVG."""
    spots: tuple[Spot, ...]
    low: str
    high: str
    begins: str
    ends: str
    summary: str

    width, height = WIDTH, HEIGHT


def draw_charts(storages: Sequence[StorageStatus]) -> tuple[Chart, ...]:
    """Return the charts of the storage with the most snapshots; none with fewer than two."""
    best = max(storages, key=lambda one: len(one.snapshots), default=None)
    if best is None:
        return ()
    told = [one for one in best.snapshots[:_MOST] if one.dated]
    told.sort(key=lambda one: one.taken_at)
    sizes = [(one, one.size) for one in told]
    indices = [(one, one.index) for one in told if one.index is not None]
    charts = (
        _draw("Size", sizes, best.interval, by_size=True),
        _draw("Raft index", indices, best.interval, by_size=False),
    )
    return tuple(one for one in charts if one is not None)


def _draw(
    name: str, points: list[tuple[Stored, int]], interval: timedelta | None, *, by_size: bool
) -> Chart | None:
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    begin, end = points[0][0].taken_at, points[-1][0].taken_at
    low, high, length = min(values), max(values), (end - begin).total_seconds() or 1.0

    def place(one: Stored, value: int) -> tuple[float, float]:
        across = (one.taken_at - begin).total_seconds() / length
        up = (value - low) / (high - low) if high > low else 0.5
        x = _EDGE + across * (WIDTH - 2 * _EDGE)
        return round(x, 1), round(HEIGHT - _EDGE - up * (HEIGHT - 2 * _EDGE), 1)

    pieces, spots = [[place(*points[0])]], []
    for (before, was), (one, value) in pairwise(points):
        if interval and one.taken_at - before.taken_at > _APART * interval:
            pieces.append([])
        pieces[-1].append(place(one, value))
        if value < (_SHRUNK * was if by_size else was):
            spots.append(Spot(*place(one, value), f"{one.name}: {_write(value, by_size=by_size)}"))
    gaps = len(pieces) - 1
    shown = [_write(value, by_size=by_size) for value in (low, high)]
    return Chart(
        name,
        tuple(" ".join(f"{x},{y}" for x, y in (p if len(p) > 1 else p * 2)) for p in pieces),
        tuple(spots),
        shown[0],
        shown[1],
        words.clock(begin),
        words.clock(end),
        f"{name} from {shown[0]} to {shown[1]}, {words.count(gaps, 'gap')}, {len(spots)} smaller",
    )


def _write(value: int, *, by_size: bool) -> str:
    return format_size(value) if by_size else f"{value:,}"
