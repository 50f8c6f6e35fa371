"""Traces reach a collector whole, cost nothing where nobody asked, and fail in one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.leaks import WATCH
from tests.otlp import Collector, attributes, collecting

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.core.state.report import Delivery, Phase, Report
from raft_snapshot_agent.errors import AgentError, ConfigError, NotLeader, StorageUnavailable
from raft_snapshot_agent.observe import otel, spans
from raft_snapshot_agent.observe.otel import open_spans
from raft_snapshot_agent.observe.spans import RunTraces, finish_traces, record_run, traces_wanted

AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SECRET = "hvs.a-secret-of-the-tests-0123456789"
PATIENCE = 60


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting(monkeypatch) as found:
        yield found


def report(error: AgentError | None = None) -> Report:
    failed = StorageUnavailable("cannot store: no answer", hint="look at the store")
    deliveries = (
        Delivery("local", "local", "/x/a.snap", deleted=("old.snap",)),
        Delivery("archive", "s3", error=failed),
    )
    phases = (
        Phase("leader", 0.0, 0.5),
        Phase("download", 0.5, 2.0, failed=error is not None),
        Phase("upload", 0.6, 3.0, "local"),
        Phase("upload", 0.6, 1.0, "archive", failed=True),
        Phase("finish", 3.6, 0.25, "local"),
    )
    snapshot = Snapshot(ArchiveMeta(4711, 3, 27122), 31769, "ab" * 32)
    until = AT + timedelta(seconds=4)
    return Report("0a1b2c", AT, until, snapshot, "https://a:8200", deliveries, error, (), phases)


def sent(cluster: str = "prod", error: AgentError | None = None) -> str:
    """Send one run, and return what failed."""
    return open_spans(os.environ)(report(error), cluster)


def test_a_run_is_a_span_and_each_phase_a_child(collector: Collector) -> None:
    assert sent() == ""

    *children, root = collector.spans
    assert root.name == "snapshot"
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (
        int(AT.timestamp()) * 10**9,
        (int(AT.timestamp()) + 4) * 10**9,
    )
    assert attributes(root) == {
        "raft_snapshot.run": "0a1b2c",
        "raft_snapshot.outcome": "partial",
        "raft_snapshot.cluster": "prod",
        "raft_snapshot.index": 4711,
        "raft_snapshot.bytes": 31769,
        "server.address": "https://a:8200",
    }
    assert {one.parent_span_id for one in children} == {root.span_id}
    assert {one.trace_id for one in children} == {root.trace_id}
    told = [(one.name, attributes(one).get("raft_snapshot.storage", "")) for one in children]
    assert told == [(one.name, one.storage) for one in report().phases]
    upload = children[3]
    assert upload.status.code == 2
    assert "cannot store: no answer" in upload.status.message
    assert upload.end_time_unix_nano - upload.start_time_unix_nano == 10**9
    assert attributes(children[4])["raft_snapshot.pruned"] == 1
    ((path, headers),) = collector.asked
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"


def test_the_standard_variables_count(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "backups")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    WATCH.learn(SECRET)
    assert sent() == ""

    ((_, headers),) = collector.asked
    assert headers["authorization"] == f"Bearer {SECRET}"
    (resource,) = collector.resources
    found = attributes(resource.resource)
    assert found["service.name"] == "backups"
    assert found["deployment.environment"] == "test"
    assert not [key for key in found if key.startswith("process.")]


def test_the_service_has_a_name_of_its_own(collector: Collector) -> None:
    sent()
    (resource,) = collector.resources
    assert attributes(resource.resource)["service.name"] == "raft-snapshot-agent"


def test_no_secret_is_in_a_trace(collector: Collector) -> None:
    token = "hvs.a-token-that-only-this-test-knows"
    assert sent(error=AgentError(f"the server said {token}")) == ""
    assert token.encode() not in collector.bodies[0]
    assert b"the server said" in collector.bodies[0]


def test_a_refusal_is_one_line_without_what_was_sent(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.status = 403
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{SECRET}")
    trouble = sent()
    assert trouble.startswith("the collector did not take a trace: ")
    assert "\n" not in trouble
    assert SECRET not in trouble
    assert capfd.readouterr() == ("", "")


def test_the_console_is_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert sent() == ""
    out, err = capsys.readouterr()
    assert out == ""
    assert '"name": "snapshot"' in err


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "there is no exporter of traces called 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "traces are sent by http/protobuf, not by 'grpc'",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "not by 'http/json'"),
    ],
)
def test_what_cannot_be_done_is_said(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_spans(environ)
    assert words in str(caught.value)
    assert caught.value.hint
    assert ("4318" in caught.value.hint) is ("by" in words)


@pytest.mark.parametrize("port", [4317, 4318])
def test_the_port_of_grpc_is_named_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    class Refusing:
        def export(self, _: object) -> None:
            return None

    monkeypatch.setattr(otel, "_open_exporter", lambda _: Refusing())
    export = open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://collector.example.com:{port}"})

    said = export(report(), "prod")

    assert said.startswith("the collector did not take a trace: ")
    assert ("set the endpoint's port to 4318" in said) is (port == 4317)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "a"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, False),
    ],
)
def test_nobody_is_traced_who_did_not_ask(environ: dict[str, str], *, wanted: bool) -> None:
    assert traces_wanted(environ) is wanted


@pytest.mark.anyio
async def test_a_run_is_queued_and_one_left_to_another_agent_is_not(collector: Collector) -> None:
    assert record_run(report(NotLeader("no")), "") == ()
    assert record_run(report(), "") == ()

    traces = spans.run_traces()
    assert traces is not None
    traces.drain(PATIENCE)
    assert await finish_traces() == ()
    assert [one.name for one in collector.spans].count("snapshot") == 1


@pytest.mark.anyio
async def test_without_a_collector_nothing_is_queued() -> None:
    spans.run_traces.cache_clear()
    assert record_run(report(), "") == ()
    assert spans.run_traces() is None
    assert await finish_traces() == ()


def test_a_collector_that_hangs_holds_up_nobody_and_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free, began = threading.Event(), threading.Event()

    def export(_: Report, __: str) -> str:
        began.set()
        free.wait(PATIENCE)
        return ""

    traces = RunTraces(lambda: export)
    traces.record(report(), "")
    assert began.wait(PATIENCE)
    for _ in range(100):
        traces.record(report(), "")
    assert traces.trouble == ""
    traces.record(report(), "")
    assert "dropped" in traces.trouble
    free.set()
    traces.drain(PATIENCE)
    assert traces.trouble == ""


def test_what_cannot_be_opened_is_told_and_tried_again() -> None:
    tries: list[int] = []

    def open_export() -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ConfigError("traces need the extra otel", hint="pip install")
        return lambda *_: ""

    traces = RunTraces(open_export)
    traces.record(report(), "")
    traces.drain(PATIENCE)
    assert traces.trouble == "cannot send traces: traces need the extra otel (pip install)"
    traces.record(report(), "")
    traces.drain(PATIENCE)
    assert traces.trouble == ""
