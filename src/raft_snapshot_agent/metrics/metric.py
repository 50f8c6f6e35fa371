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

from raft_snapshot_agent.core.holding import CheckState, Verdict, overall
from raft_snapshot_agent.core.status import AgentStatus, ClusterStatus, StorageStatus

PREFIX = "raft_snapshot_"
NAN = math.nan
Sample = tuple[tuple[str, ...], float]
"""Values of the labels, and the value."""


class Kind(StrEnum):
    """Types of metrics, by the words of the exposition formats."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"


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
    storages: tuple[JudgedStorage, ...]

    @classmethod
    def of(cls, status: AgentStatus) -> JudgedStatus:
        clusters = tuple(_judge(one, status.at) for one in status.clusters)
        return cls(status, clusters, tuple(one for each in clusters for one in each.storages))


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the table."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[JudgedStatus], Iterable[Sample]]

    @property
    def family(self) -> str:
        """Its name as OpenMetrics wants it in `# TYPE`: without the ending of its samples."""
        ending = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")
        return self.name.removesuffix(ending)


Value = float | dict[tuple[str, ...], float]
"""One value, or one for each combination of the labels that come after the usual ones."""


def of_agent(
    name: str, kind: Kind, text: str, read: Callable[[AgentStatus], Value], *labels: str
) -> Metric:
    """Describe a metric of the agent itself."""

    def samples(view: JudgedStatus) -> list[Sample]:
        return _list_samples([((), read(view.status))])

    return Metric(PREFIX + name, kind, text, labels, samples)


def of_cluster(
    name: str, kind: Kind, text: str, read: Callable[[JudgedCluster], Value], *labels: str
) -> Metric:
    """Describe a metric that each cluster has."""

    def samples(view: JudgedStatus) -> list[Sample]:
        return _list_samples([(one.labels, read(one)) for one in view.clusters])

    return Metric(PREFIX + name, kind, text, ("cluster", *labels), samples)


def of_storage(
    name: str, kind: Kind, text: str, read: Callable[[JudgedStorage], Value], *labels: str
) -> Metric:
    """Describe a metric that each storage of each cluster has."""

    def samples(view: JudgedStatus) -> list[Sample]:
        return _list_samples([(one.labels, read(one)) for one in view.storages])

    return Metric(PREFIX + name, kind, text, ("cluster", "storage", *labels), samples)


def counts(found: Mapping[str, int], *known: str) -> Value:
    """Return counts by one label; those that are known to be possible are there from the start."""
    return {(one,): found.get(one, 0) for one in (*known, *sorted(found.keys() - {*known}))}


def stamp(moment: datetime | None, missing: float = NAN) -> float:
    """Return a moment as Unix time."""
    return missing if moment is None else moment.timestamp()


def _judge(cluster: ClusterStatus, now: datetime) -> JudgedCluster:
    storages = tuple(
        JudgedStorage(cluster, one, verdict, (cluster.name, one.name))
        for one, verdict in zip(cluster.storages, cluster.judge(now), strict=True)
    )
    return JudgedCluster(cluster, storages, (cluster.name,))


def _list_samples(values: list[tuple[tuple[str, ...], Value]]) -> list[Sample]:
    found: list[Sample] = []
    for labels, value in values:
        if isinstance(value, dict):
            found += [((*labels, *more), one) for more, one in value.items()]
        else:
            found.append((labels, value))
    return found
