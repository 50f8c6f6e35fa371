"""Reads the metrics file of the previous run: counters continue, and other clusters stay.

So does the time of the newest snapshot of a storage that this run cannot list.

Only files in our own words are read; of any other, what is not understood is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from raft_snapshot_agent.core.state.freshness import DueTime
from raft_snapshot_agent.core.state.run_durations import BOUNDS, RunDurations
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus
from raft_snapshot_agent.metrics.metric import PREFIX, JudgedStatus, Metric, Sample

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")
_LATEST = 1 << 33
"""Unix time in the 23rd century; what is later is no time of a snapshot."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The samples of an earlier exposition."""

    samples: Mapping[str, Mapping[tuple[str, ...], float]] = field(default_factory=dict)
    """By the metric's name, values by those of its labels, in the order of the table."""

    @classmethod
    def read(cls, text: str, metrics: Collection[Metric]) -> Carried:
        """Read the samples of these metrics; anything else is passed over."""
        known = {one.name: one.labels for one in metrics}
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for name, labels, value in _parse(text):
            wanted = known.get(name)
            if wanted is not None and labels.keys() == {*wanted}:
                found.setdefault(name, {})[tuple(labels[one] for one in wanted)] = value
        return cls(found)

    def resume(self, cluster: ClusterStatus, at: datetime) -> ClusterStatus:
        """Return a status that counts on from here.

        Arguments:
            cluster: Nothing of it was counted yet.
            at: Since when what fails counts as failing.
        """
        own = (cluster.name,)
        return replace(
            cluster,
            attempts=self._by_outcome("attempts_total", own),
            verification_failures=self._count("verification_failures_total", own),
            failing=self._failure("consecutive_failures", own, at),
            durations=self._durations(own),
            storages=tuple(self._resume_storage(own, one, at) for one in cluster.storages),
        )

    def beside(self, metrics: Collection[Metric], clusters: Collection[str]) -> tuple[Metric, ...]:
        """Return the metrics with the samples of these clusters, which are not told anew."""
        return tuple(self._extend(one, clusters) for one in metrics)

    def _extend(self, metric: Metric, clusters: Collection[str]) -> Metric:
        if metric.labels[:1] != ("cluster",):
            return metric
        old = self.samples.get(metric.name, {})
        kept = [(labels, value) for labels, value in old.items() if labels[0] in clusters]

        def samples(view: JudgedStatus) -> Iterator[Sample]:
            yield from metric.read(view)
            yield from kept

        return replace(metric, read=samples, each=None)

    def _resume_storage(
        self, cluster: tuple[str, ...], storage: StorageStatus, at: datetime
    ) -> StorageStatus:
        own = (*cluster, storage.name)
        taken = self._moment("last_success_timestamp_seconds", own)
        late = self._moment("overdue_timestamp_seconds", own)
        holding = storage.holding
        if holding is not None and late is not None:
            holding = replace(holding, deadline=DueTime(late, late))
        return replace(
            storage,
            last_success=taken or storage.last_success,
            holding=holding,
            uploads=self._by_outcome("uploads_total", own),
            pruned=self._count("pruned_total", own),
            failing=self._failure("storage_consecutive_failures", own, at),
        )

    def _count(self, name: str, labels: tuple[str, ...]) -> int:
        value = self.samples.get(PREFIX + name, {}).get(labels, 0)
        return int(value) if math.isfinite(value) and value > 0 else 0

    def _moment(self, name: str, labels: tuple[str, ...]) -> datetime | None:
        """Return a time that the storage still tells if it cannot be listed now."""
        value = self.samples.get(PREFIX + name, {}).get(labels, math.nan)
        plausible = 0 < value < _LATEST
        return datetime.fromtimestamp(value, UTC) if plausible else None

    def _durations(self, labels: tuple[str, ...]) -> RunDurations:
        found = self.samples.get(PREFIX + "duration_seconds_bucket", {}).items()
        buckets = {float(one[-1]): value for one, value in found if one[:-1] == labels}
        total = self.samples.get(PREFIX + "duration_seconds_sum", {}).get(labels, math.nan)
        counts = [buckets.get(bound, -1) for bound in BOUNDS]
        sound = [int(one) if math.isfinite(one) else -1 for one in counts]
        return RunDurations.resumed(sound, total)

    def _by_outcome(self, name: str, labels: tuple[str, ...]) -> dict[str, int]:
        found = self.samples.get(PREFIX + name, {})
        return {one[-1]: self._count(name, one) for one in found if one[:-1] == labels}

    def _failure(self, name: str, labels: tuple[str, ...], at: datetime) -> OngoingFailure | None:
        times = self._count(name, labels)
        return OngoingFailure("", at, times) if times else None


def _parse(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        if line.startswith("#") or not (found := _SAMPLE.fullmatch(line)):
            continue
        labels = {key: _ESCAPED.sub(_unescape, one) for key, one in _LABEL.findall(found[2] or "")}
        try:
            yield found[1], labels, float(found[3])
        except ValueError:
            continue


def _unescape(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
