"""Sends the trace of a run with OpenTelemetry's library, set by the standard variables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.state.report import Outcome, Phase, Report
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import redact

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Attributes = dict[str, str | int | float | bool]
_SERVICE = "raft-snapshot-agent"
_GROUP = "opentelemetry_traces_exporter"
_OTLP = "otlp_proto_http"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LONGEST = 300
_NANOSECONDS = 10**9


def open_spans(environ: Mapping[str, str]) -> Callable[[Report, str], str]:
    """Set up the library from its variables; return a function that sends a run.

    Raises:
        ConfigError: The library is not installed, or has no such exporter.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    except ImportError as error:
        wanted = "pip install 'raft-snapshot-agent[otel]'"
        raise ConfigError("traces need the extra otel", hint=wanted) from error
    ended: list[ReadableSpan] = []

    class Collector(SpanProcessor):
        """Collects the spans of a run, to send them together."""

        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    exporters = _open_exporters(environ)
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    more = {"service.version": __version__, **({} if named else {"service.name": _SERVICE})}
    provider = TracerProvider(resource=Resource.create(more), shutdown_on_exit=False)
    provider.add_span_processor(Collector())
    wrong_port = _find_wrong_port(environ)
    tracer, words = provider.get_tracer(_SERVICE, __version__), _Words()

    def send(report: Report, cluster: str) -> str:
        ended.clear()
        words.last = "no reason given"
        _trace(tracer, report, cluster)
        spans = tuple(ended)  # empty if a sampler dropped them
        taken = [_export(one, spans) for one in exporters if spans]
        if all(taken):
            return ""
        return f"the collector did not take a trace: {words.last}{wrong_port}"

    return send


def _open_exporters(environ: Mapping[str, str]) -> list[SpanExporter]:
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    names = [name.strip().lower() for name in wanted.split(",")]
    if "otlp" in names:
        protocol = next((environ[one] for one in _PROTOCOLS if environ.get(one)), "http/protobuf")
        if protocol != "http/protobuf":
            told = f"traces are sent by http/protobuf, not by {protocol[:40]!r}"
            hint = f"set {_PROTOCOLS[1]} to http/protobuf, and the endpoint's port to 4318"
            raise ConfigError(told, hint=hint)
    return [_open_exporter(name) for name in names if name and name != "none"]


def _open_exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)  # a snapshot may go to standard output
    found = entry_points(group=_GROUP, name=_OTLP if name == "otlp" else name)
    if not found:
        hint = "set OTEL_TRACES_EXPORTER to otlp, console or none"
        raise ConfigError(f"there is no exporter of traces called {name[:40]!r}", hint=hint)
    exporter: SpanExporter = next(iter(found)).load()()
    return exporter


def _find_wrong_port(environ: Mapping[str, str]) -> str:
    """Return a note if an endpoint has the port that collectors use for gRPC."""
    endpoints = [urlsplit(environ.get(one, "").strip()).netloc for one in _ENDPOINTS]
    if not any(one.endswith(":4317") for one in endpoints):
        return ""
    return " (4317 is the port for gRPC: set the endpoint's port to 4318)"


def _export(exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> bool:
    from opentelemetry.sdk.trace.export import SpanExportResult

    return exporter.export(spans) is SpanExportResult.SUCCESS


def _trace(tracer: Tracer, report: Report, cluster: str) -> None:
    """Create the spans of a run: one for the run, with a child per phase."""
    from opentelemetry.trace import set_span_in_context

    began = _stamp(report.started_at)
    root = tracer.start_span("snapshot", start_time=began, attributes=_of_run(report, cluster))
    around = set_span_in_context(root)
    for phase in report.phases:
        start = began + int(phase.began * _NANOSECONDS)
        span = tracer.start_span(
            phase.name, around, start_time=start, attributes=dict(_of_phase(phase, report))
        )
        _fail(span, _why(phase, report), failed=phase.failed)
        span.end(start + int(phase.seconds * _NANOSECONDS))
    _fail(root, str(report.error or ""), failed=report.outcome is not Outcome.OK)
    root.end(_stamp(report.finished_at))


def _of_run(report: Report, cluster: str) -> Attributes:
    found: Attributes = {
        "raft_snapshot.run": report.run_id,
        "raft_snapshot.outcome": report.outcome.value,
    }
    if cluster:
        found["raft_snapshot.cluster"] = cluster
    if report.node:
        found["server.address"] = redact(report.node)
    if report.snapshot is not None:
        found["raft_snapshot.index"] = report.snapshot.meta.index
        found["raft_snapshot.bytes"] = report.snapshot.size
    return found


def _of_phase(phase: Phase, report: Report) -> Iterator[tuple[str, str | int]]:
    if not phase.storage:
        return
    yield "raft_snapshot.storage", phase.storage
    for one in report.deliveries:
        if one.storage == phase.storage:
            yield "raft_snapshot.storage_type", one.kind
            if phase.name == "finish":
                yield "raft_snapshot.pruned", len(one.deleted)


def _why(phase: Phase, report: Report) -> str:
    found = [one.error for one in report.deliveries if phase.storage == one.storage and one.error]
    return str(found[0] if found else report.error or "")


def _fail(span: Span, why: str, *, failed: bool) -> None:
    from opentelemetry.trace import Status, StatusCode

    if failed:
        span.set_status(Status(StatusCode.ERROR, redact(why)[:_LONGEST] or None))


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp() * _NANOSECONDS)


class _Words(logging.Handler):
    """Keeps the library's last log message, which would otherwise go to the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        logger = logging.getLogger("opentelemetry")
        logger.handlers[:] = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.last = redact(" ".join(record.getMessage().split()))[:_LONGEST]
