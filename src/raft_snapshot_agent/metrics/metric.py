"""What a metric is: its name, its help, and how its value is read from a status.

Two conventions hold for all of them, so that a rule needs no case for "not yet":

- A time at which something happened last is 0 where it never happened, and NaN where that is not
  known, as before a storage was listed for the first time.
- Anything else that is not known, or that is not configured, is NaN; no comparison with it is true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.core.state.verdict import Verdict, overall

PREFIX = "raft_snapshot_"
NAN = math.nan
Sample = tuple[tuple[str, ...], float]
"""Values of the labels, and the value."""


class Kind(StrEnum):
    """Types of metrics, by the words of the exposition formats."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"
    HISTOGRAM = "histogram"
    """Its samples are three metrics of one family, one behind the other in the table."""


@dataclass(frozen=True, slots=True)
class JudgedStorage:
    """A storage of a cluster, and what it comes to."""

    cluster: ClusterStatus
    storage: StorageStatus
    verdict: Verdict
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedCluster:
    """A cluster, and what it comes to."""

    cluster: ClusterStatus
    storages: tuple[JudgedStorage, ...]
    labels: tuple[str, ...]

    @property
    def state(self) -> CheckState:
        """The worst of its storages; the words of `check`."""
        if self.cluster.disabled:
            return CheckState.CRITICAL
        return overall([one.verdict for one in self.storages])


@dataclass(frozen=True, slots=True)
class JudgedStatus:
    """A status, and what all that is in it comes to: each storage is judged once."""

    status: AgentStatus
    clusters: tuple[JudgedCluster, ...]

    @classmethod
    def of(cls, status: AgentStatus) -> JudgedStatus:
        return cls(status, tuple(_judge(one, status.at) for one in status.clusters))


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the table."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[JudgedStatus], Iterable[Sample]]
    each: Callable[[JudgedCluster], Iterable[Sample]] | None = None
    """The samples of one cluster, where there are no others."""
    measured: bool = False
    """Whether it changes without anybody's publishing it: see `core.state.status.MEASURED`."""

    @property
    def family(self) -> str:
        """Its name as OpenMetrics wants it in `# TYPE`: without the ending of its samples."""
        name = self.name
        for ending in _ENDINGS.get(self.kind, ()):
            name = name.removesuffix(ending)
        return name


_ENDINGS = {
    Kind.COUNTER: ("_total",),
    Kind.INFO: ("_info",),
    Kind.HISTOGRAM: ("_bucket", "_sum", "_count"),
}
Value = float | dict[tuple[str, ...], float]
"""One value, or one for each combination of the labels that come after the usual ones."""


def of_agent(
    name: str, kind: Kind, text: str, read: Callable[[AgentStatus], Value], *labels: str
) -> Metric:
    """Describe a metric of the agent itself."""

    def samples(view: JudgedStatus) -> list[Sample]:
        return _list_samples((), read(view.status))

    return Metric(PREFIX + name, kind, text, labels, samples)


def of_cluster(
    name: str,
    kind: Kind,
    text: str,
    read: Callable[[JudgedCluster], Value],
    *labels: str,
    measured: bool = False,
) -> Metric:
    """Describe a metric that each cluster has."""

    def each(view: JudgedCluster) -> list[Sample]:
        return _list_samples(view.labels, read(view))

    return _of_each(PREFIX + name, kind, text, ("cluster", *labels), each, measured=measured)


def of_storage(
    name: str, kind: Kind, text: str, read: Callable[[JudgedStorage], Value], *labels: str
) -> Metric:
    """Describe a metric that each storage of each cluster has."""

    def each(view: JudgedCluster) -> list[Sample]:
        return [sample for one in view.storages for sample in _list_samples(one.labels, read(one))]

    return _of_each(PREFIX + name, kind, text, ("cluster", "storage", *labels), each)


def counts(found: Mapping[str, int], *known: str) -> Value:
    """Return counts by one label; those that are known to be possible are there from the start."""
    return {(one,): found.get(one, 0) for one in (*known, *sorted(found.keys() - {*known}))}


def stamp(moment: datetime | None, missing: float = NAN) -> float:
    """Return a moment as Unix time."""
    return missing if moment is None else moment.timestamp()


def _of_each(
    name: str,
    kind: Kind,
    text: str,
    labels: tuple[str, ...],
    each: Callable[[JudgedCluster], list[Sample]],
    *,
    measured: bool = False,
) -> Metric:
    def samples(view: JudgedStatus) -> list[Sample]:
        return [sample for one in view.clusters for sample in each(one)]

    return Metric(name, kind, text, labels, samples, each, measured)


def _judge(cluster: ClusterStatus, now: datetime) -> JudgedCluster:
    storages = tuple(
        JudgedStorage(cluster, one, verdict, (cluster.name, one.name))
        for one, verdict in zip(cluster.storages, cluster.judge(now), strict=True)
    )
    return JudgedCluster(cluster, storages, (cluster.name,))


def _list_samples(labels: tuple[str, ...], value: Value) -> list[Sample]:
    if isinstance(value, dict):
        return [((*labels, *more), one) for more, one in value.items()]
    return [(labels, value)]
