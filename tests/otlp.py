"""A collector of traces, in this process: OpenTelemetry's protocol over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from raft_snapshot_agent.observe import spans


class Collector:
    """Takes traces as OTLP over HTTP; or answers something else."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                collector.bodies.append(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def resources(self) -> list[Any]:
        """Everything that came."""
        found = []
        for (_, headers), body in zip(self.asked, self.bodies, strict=True):
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            found += ExportTraceServiceRequest.FromString(plain).resource_spans
        return found

    @property
    def spans(self) -> list[Any]:
        return [span for one in self.resources for each in one.scope_spans for span in each.spans]


def attributes(span: Any) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Run one, and let the environment name it."""
    found = Collector()
    serve = found.server.serve_forever
    thread = threading.Thread(target=serve, args=(0.05,), daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    monkeypatch.setattr(spans, "FINISH_WITHIN", 60)
    spans.run_traces.cache_clear()
    try:
        yield found
    finally:
        spans.run_traces.cache_clear()
        found.server.shutdown()
        found.server.server_close()
        thread.join()
