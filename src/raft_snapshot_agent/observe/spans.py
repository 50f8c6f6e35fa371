"""Sends traces of runs to OpenTelemetry, made from the report after the run.

Off unless the environment names a collector. No run waits for a collector: reports are queued for
a separate thread, which also loads the library.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from queue import Full, Queue

from raft_snapshot_agent.core.report import Outcome, Report
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.threads import in_thread

Export = Callable[[Report, str], str]
"""Sends the trace of a run of a cluster; returns an error text, empty on success."""
_ASKED_FOR = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
_WAITING = 100
"""Most queued runs while a collector does not answer; further ones are dropped."""
FINISH_WITHIN = 10.0
"""Seconds that a command waits for the collector before it exits."""


def traces_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the environment enables traces.

    Source: OpenTelemetry's specification, "Environment Variable Specification".
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environ.get(one, "").strip() for one in _ASKED_FOR)


class RunTraces:
    """Sends the traces of runs one after the other, in a separate thread."""

    def __init__(self, open_export: Callable[[], Export]) -> None:
        """Store the function; no I/O.

        Arguments:
            open_export: Called in the thread at the first run.
        """
        self._open = open_export
        self._queue: Queue[tuple[Report, str]] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._left = threading.Condition()
        self._unsent = 0
        self.trouble = ""
        """Why the last trace could not be sent; empty if it was sent."""

    def record(self, report: Report, cluster: str) -> None:
        """Queue the trace of a finished run; a skipped run has no trace."""
        if report.outcome is Outcome.SKIPPED:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, daemon=True)
            self._thread.start()
        try:
            with self._left:
                self._queue.put_nowait((report, cluster))
                self._unsent += 1
        except Full:
            self.trouble = "traces are dropped: the collector does not take them fast enough"

    def drain(self, within: float) -> None:
        """Wait until all traces are sent, for at most `within` seconds."""
        with self._left:
            self._left.wait_for(lambda: not self._unsent, within)

    def _send_all(self) -> None:
        export: Export | None = None
        while True:
            report, cluster = self._queue.get()
            try:
                export = export or self._open()
                self.trouble = export(report, cluster)
            except AgentError as error:
                self.trouble = f"cannot send traces: {error}"
            except Exception as error:  # noqa: BLE001 - it must not end the thread
                self.trouble = f"cannot send traces: {type(error).__name__}"
            with self._left:
                self._unsent -= 1
                self._left.notify_all()


@cache
def run_traces() -> RunTraces | None:
    """Return the sender of traces, or `None` if the environment does not enable traces."""
    if not traces_wanted(os.environ):
        return None

    def open_export() -> Export:
        from raft_snapshot_agent.observe.otel import open_spans

        return open_spans(os.environ)

    return RunTraces(open_export)


def record_run(report: Report, cluster: str) -> tuple[str, ...]:
    """Queue the trace of a run if traces are enabled; return problems in sending them."""
    traces = run_traces()
    if traces is None:
        return ()
    traces.record(report, cluster)
    return (traces.trouble,) if traces.trouble else ()


async def finish_traces(within: float | None = None) -> tuple[str, ...]:
    """Wait up to `within` seconds for queued traces; return problems in sending them."""
    traces, seconds = run_traces(), within or FINISH_WITHIN
    if traces is None:
        return ()
    began = time.monotonic()
    await in_thread(lambda: traces.drain(seconds), abandon=True)
    if time.monotonic() - began >= seconds and not traces.trouble:
        return (f"the traces did not reach the collector within {seconds:g} s",)
    return (traces.trouble,) if traces.trouble else ()
