"""How long the runs of a cluster took, counted by bounds that suit snapshots: a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

BOUNDS = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, inf)
"""Seconds: from a small cluster on one host to a large one over a slow line."""


@dataclass(frozen=True, slots=True)
class RunDurations:
    """Runs counted by how long they took."""

    counts: tuple[int, ...] = (0,) * len(BOUNDS)
    """Of each bound, the runs that took at most so long; the last counts all."""
    seconds: float = 0.0
    """Of all of them together."""

    @property
    def count(self) -> int:
        """How many runs there were."""
        return self.counts[-1]

    def after(self, seconds: float) -> RunDurations:
        """Return it with one more run; a clock that was put back makes it one of no time."""
        took = max(0.0, seconds)
        counts = [count + (took <= bound) for count, bound in zip(self.counts, BOUNDS, strict=True)]
        return RunDurations(tuple(counts), self.seconds + took)

    @classmethod
    def resumed(cls, counts: Sequence[int], seconds: float) -> RunDurations:
        """Return what was counted before; what makes no sense counts as nothing."""
        grows = all(0 <= one <= other for one, other in pairwise(counts))
        if len(counts) != len(BOUNDS) or not grows or not isfinite(seconds) or seconds < 0:
            return cls()
        return cls(tuple(counts), seconds)
