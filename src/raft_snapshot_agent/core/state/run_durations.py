"""Histogram of the durations of a cluster's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

BOUNDS = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, inf)
"""Bounds in seconds, from a small cluster on one host to a large one over a slow network."""


@dataclass(frozen=True, slots=True)
class RunDurations:
    """Numbers of runs by duration."""

    counts: tuple[int, ...] = (0,) * len(BOUNDS)
    """For each bound, the number of runs that took at most so long; the last counts all."""
    seconds: float = 0.0
    """Total duration of all runs."""

    @property
    def count(self) -> int:
        """Number of runs."""
        return self.counts[-1]

    def after(self, seconds: float) -> RunDurations:
        """Return the histogram with one more run; a negative duration counts as zero."""
        took = max(0.0, seconds)
        counts = [count + (took <= bound) for count, bound in zip(self.counts, BOUNDS, strict=True)]
        return RunDurations(tuple(counts), self.seconds + took)

    @classmethod
    def resumed(cls, counts: Sequence[int], seconds: float) -> RunDurations:
        """Return a histogram from stored counts; invalid ones are ignored."""
        grows = all(0 <= one <= other for one, other in pairwise(counts))
        if len(counts) != len(BOUNDS) or not grows or not isfinite(seconds) or seconds < 0:
            return cls()
        return cls(tuple(counts), seconds)
