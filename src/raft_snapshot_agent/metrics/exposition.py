"""The table as Prometheus reads it: its text format 0.0.4, and OpenMetrics 1.0.

Written here, for the client library takes four times as long (docs/decisions/0052). The tests hold
it against that library's parsers and against promtool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import groupby
from operator import attrgetter, is_

from raft_snapshot_agent.core.state.status import MEASURED, AgentStatus, ClusterStatus
from raft_snapshot_agent.metrics.metric import JudgedCluster, JudgedStatus, Kind, Metric, Sample
from raft_snapshot_agent.metrics.table import TABLE

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OPENMETRICS_VERSIONS = {"", "0.0.1", "1.0.0"}
_LONGEST_ACCEPT = 4096


def exposition(
    status: AgentStatus, accept: str = "", metrics: Iterable[Metric] = TABLE
) -> tuple[str, bytes]:
    """Render a status for whoever scrapes it.

    Arguments:
        status: How things stand.
        accept: The header of that name; OpenMetrics is served to those who prefer it.
        metrics: Of the table, those to render.

    Returns:
        The content type, and the content.
    """
    return Exposer(metrics).render(status, accept)


class Exposer:
    """Renders one status after the other; of clusters that stand as before, the lines are kept."""

    def __init__(self, metrics: Iterable[Metric] = TABLE) -> None:
        """Prepare.

        Arguments:
            metrics: Of the table, those to render.
        """
        families = groupby(metrics, key=lambda one: one.family)
        self._families = [(*members,) for _, members in families]
        self._kept: dict[str, _Lines] = {}

    def render(self, status: AgentStatus, accept: str = "") -> tuple[str, bytes]:
        """Return the same as `exposition`; for one thread at a time."""
        wide = _prefers_openmetrics(accept)
        view = JudgedStatus.of(status)
        kept = self._keep(view)
        parts: list[str] = []
        for number, family in enumerate(self._families):
            first = family[0]
            parts.append(_head(first, wide=wide))
            if first.each is None:
                parts.append(_write(family, view, {}))
            elif first.measured:
                parts += [_write(family, one, {}) for one in view.clusters]
            else:
                parts += [lines.texts[number] for lines in kept]
        content = "".join(parts) + ("# EOF\n" if wide else "")
        return (OPENMETRICS if wide else TEXT), content.encode(errors="replace")

    def _keep(self, view: JudgedStatus) -> list[_Lines]:
        """Return the lines of each cluster, made anew where it stands otherwise than before."""
        found: dict[str, _Lines] = {}
        for one in view.clusters:
            lines, key = self._kept.get(one.cluster.name), _key(one)
            if lines is None or not all(map(is_, lines.key, key)):
                lines = _Lines.of(one, self._families, key)
            found[one.cluster.name] = lines
        self._kept = found
        return [*found.values()]


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of one cluster that stands as it did, by family."""

    key: tuple[object, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, view: JudgedCluster, families: Iterable[Family], key: tuple[object, ...]) -> _Lines:
        known: _Known = {}
        return cls(
            key,
            tuple(
                "" if one[0].measured else _write(one, view, known) if one[0].each else ""
                for one in families
            ),
        )


Family = tuple[Metric, ...]
_Known = dict[tuple[str, ...], dict[tuple[str, ...], str]]
_published = attrgetter(*(one.name for one in fields(ClusterStatus) if one.name not in MEASURED))


def _key(view: JudgedCluster) -> tuple[object, ...]:
    """Return all that its lines are made of; what was published anew is another object."""
    return (*_published(view.cluster), *[one.verdict.state for one in view.storages])


def _head(metric: Metric, *, wide: bool) -> str:
    is_one = metric.kind is Kind.HISTOGRAM
    name = metric.family if wide or is_one else metric.name
    kind = "gauge" if metric.kind is Kind.INFO and not wide else metric.kind
    return f"# HELP {name} {_escape(metric.help)}\n# TYPE {name} {kind}\n"


def _write(family: Family, view: JudgedCluster | JudgedStatus, known: _Known) -> str:
    """Write the samples of a family; labels that are not known yet are entered."""
    parts: list[str] = []
    for metric in family:
        name, labels = metric.name, metric.labels
        texts = known.setdefault(labels, {})
        read: Callable[..., Iterable[Sample]] = metric.each or metric.read
        for values, value in read(view):
            if (told := texts.get(values)) is None:
                told = texts[values] = _label(labels, values)
            parts.append(f"{name}{told} {_number(value)}\n")
    return "".join(parts)


def _label(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    inner = ",".join(map(_pair, names, values))
    return f"{{{inner}}}" if inner else ""


@lru_cache(maxsize=4096)
def _pair(name: str, value: str) -> str:
    return f'{name}="{_quote(value)}"'


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quote(text: str) -> str:
    return text if text.isalnum() else _escape(text).replace('"', r"\"")


def _number(value: float) -> str:
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value))  # of a truth value or a state, too


def _prefers_openmetrics(accept: str) -> bool:
    wide, plain = 0.0, 0.0
    for kind, version, quality in _parse_accept(accept[:_LONGEST_ACCEPT]):
        if kind == "application/openmetrics-text" and version in _OPENMETRICS_VERSIONS:
            wide = max(wide, quality)
        elif kind in {"text/plain", "text/*"}:
            plain = max(plain, quality)
    return wide > 0 and wide >= plain


def _parse_accept(header: str) -> Iterator[tuple[str, str, float]]:
    """List what a header accepts: media type, version and quality. Source: RFC 9110, 12.5.1."""
    for one in header.split(","):
        kind, *rest = (part.strip() for part in one.split(";"))
        how = {key.strip().lower(): value.strip(' "') for key, _, value in
               (part.partition("=") for part in rest)}  # fmt: skip
        try:
            quality = float(how.get("q", "1"))
        except ValueError:
            quality = 0.0
        yield kind.lower(), how.get("version", ""), quality if 0 <= quality <= 1 else 0.0
