"""The table as Prometheus reads it: its text format 0.0.4, and OpenMetrics 1.0.

Written here, for the client library takes four times as long (docs/decisions/0052). The tests hold
it against that library's parsers and against promtool.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from raft_snapshot_agent.core.status import AgentStatus
from raft_snapshot_agent.metrics.metric import JudgedStatus, Kind, Metric
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
    wide = _prefers_openmetrics(accept)
    lines = _Lines(wide)
    view = JudgedStatus.of(status)
    for metric in metrics:
        lines.add(metric, view)
    content = lines.text + ("# EOF\n" if wide else "")
    return (OPENMETRICS if wide else TEXT), content.encode(errors="replace")


class _Lines:
    """The lines of one exposition; labels are written once and used for many metrics."""

    def __init__(self, wide: bool) -> None:
        self._wide = wide
        self._parts: list[str] = []
        self._known: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, metric: Metric, view: JudgedStatus) -> None:
        name = metric.family if self._wide else metric.name
        kind: str = metric.kind
        if not self._wide and metric.kind is Kind.INFO:
            kind = "gauge"
        self._parts.append(f"# HELP {name} {_escape(metric.help)}\n# TYPE {name} {kind}\n")
        labels, name = metric.labels, metric.name
        known, add = self._known.setdefault(labels, {}), self._parts.append
        for values, value in metric.read(view):
            if (told := known.get(values)) is None:
                told = known[values] = _label(labels, values)
            add(f"{name}{told} {_number(value)}\n")


def _label(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = zip(names, values, strict=True)
    inner = ",".join([f'{name}="{_quote(value)}"' for name, value in pairs])
    return f"{{{inner}}}" if inner else ""


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
    for kind, version, quality in _accepted(accept[:_LONGEST_ACCEPT]):
        if kind == "application/openmetrics-text" and version in _OPENMETRICS_VERSIONS:
            wide = max(wide, quality)
        elif kind in {"text/plain", "text/*"}:
            plain = max(plain, quality)
    return wide > 0 and wide >= plain


def _accepted(header: str) -> Iterator[tuple[str, str, float]]:
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
