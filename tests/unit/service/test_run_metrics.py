"""Runs of one snapshot leave their metrics; what fails there is a warning."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.errors import AgentError, NotLeader, StorageUnavailable, VerificationError
from raft_snapshot_agent.metrics.metric import PREFIX
from raft_snapshot_agent.service import run_metrics
from raft_snapshot_agent.service.run_metrics import leave_metrics

pytestmark = pytest.mark.anyio
PASSWORD = "w0rd-of-the-gateway"


class Gateway:
    """Answers as it is told, and keeps what was pushed."""

    def __init__(self) -> None:
        self.status = 200
        self.pushed: list[tuple[str, str, str, bytes]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                authorization = self.headers.get("Authorization", "")
                gateway.pushed.append(
                    (self.path, self.headers["Content-Type"], authorization, content)
                )
                self.send_response(gateway.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()
    thread = Thread(target=found.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def fleet(folder: Path, metrics: dict[str, str], *clusters: str) -> LoadedFleet:
    (folder / "snapshots").mkdir(exist_ok=True)
    document: dict[str, Any] = {
        "metrics": metrics,
        "spool": str(folder),
        "storages": [{"type": "local", "path": str(folder / "snapshots")}],
    }
    if clusters:
        document["clusters"] = {one: {"vault": {"address": f"http://{one}:1"}} for one in clusters}
    file = folder / "agent.json"
    file.write_text(json.dumps(document))
    return load_all(file, {"VAULT_ADDR": "http://h:1"} if not clusters else {})


def report(error: AgentError | None = None, failed: AgentError | None = None) -> Report:
    at = datetime.now(UTC).replace(microsecond=0)
    snapshot = Snapshot(ArchiveMeta(4711, 3, 27122), 31769, "ab" * 32)
    delivery = Delivery("local", "local", "/x/a.snap", error=failed)
    if error is not None:
        return Report("0a1b2c", at, at, error=error)
    return Report("0a1b2c", at, at, snapshot, "https://a:8200", (delivery,))


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of all labels."""
    return {
        (one.name.removeprefix(PREFIX), *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


async def left(loaded: LoadedFleet, *reports: Report | None, only: str | None = None) -> list[str]:
    """Leave the metrics of a run of each cluster; return the warnings."""
    warnings: list[str] = []
    settings = loaded.first.config.metrics
    assert settings is not None
    chosen = loaded.only(only).clusters.values()
    await leave_metrics(settings, [*zip(chosen, reports, strict=True)], warnings.append)
    return warnings


async def test_the_file_is_whole_readable_and_counts_on(tmp_path: Path) -> None:
    file = tmp_path / "raft.prom"
    loaded = fleet(tmp_path, {"textfile": str(file)})

    assert await left(loaded, report()) == []
    assert await left(loaded, report(failed=StorageUnavailable("no"))) == []
    assert await left(loaded, report(VerificationError("no"))) == []
    assert samples(file.read_text())["storage_consecutive_failures", "", "local"] == 1
    assert await left(loaded, report(NotLeader("no"))) == []

    assert file.stat().st_mode & 0o777 == 0o644
    assert {*tmp_path.glob("*prom*")} | {*tmp_path.glob(".*prom*")} == {file}  # noqa: ASYNC240
    found = samples(file.read_text())
    assert found["attempts_total", "", "ok"] == 1
    assert found["attempts_total", "", "failed"] == 2
    assert found["attempts_total", "", "skipped"] == 1
    assert found["uploads_total", "", "local", "ok"] == 1
    assert found["uploads_total", "", "local", "failed"] == 1
    assert found["storage_consecutive_failures", "", "local"] == 0, "another agent takes them"
    assert found["verification_failures_total", ""] == 1
    assert {name[0] for name in found if name[0].startswith("process_")} == set()


async def test_last_success_is_what_the_storage_lists(tmp_path: Path) -> None:
    file = tmp_path / "raft.prom"
    loaded = fleet(tmp_path, {"textfile": str(file)})
    (tmp_path / "snapshots" / "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap").write_bytes(b"x")

    await left(loaded, report(NotLeader("no")))

    found = samples(file.read_text())
    taken = datetime(2026, 11, 23, 15, 30, tzinfo=UTC).timestamp()
    assert found["last_success_timestamp_seconds", "", "local"] == taken
    assert found["overdue_timestamp_seconds", "", "local"] > taken
    assert found["stored", "", "local"] == 1
    assert found["leader", ""] == 0


async def test_a_run_for_one_cluster_leaves_the_others_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "raft.prom"
    loaded = fleet(tmp_path, {"textfile": str(file)}, "a", "b")
    await left(loaded, report(), report())
    await left(loaded, report(), only="a")
    await left(loaded, None, report())

    found = samples(file.read_text())
    assert found["attempts_total", "b", "ok"] == 2
    assert found["disabled", "a"] == 1
    lines = [one for one in file.read_text().splitlines() if not one.startswith("#")]
    assert len(lines) == len(set(lines)) == len(found)


async def test_each_cluster_is_a_group_of_the_gateway(tmp_path: Path, gateway: Gateway) -> None:
    settings = {
        "pushgateway": f"{gateway.url}/base/",
        "instance": "host/1",
        "username": "agent",
        "password": PASSWORD,
    }
    loaded = fleet(tmp_path, settings, "a", "b")

    assert await left(loaded, report(), report()) == []

    groups = []
    for path, kind, authorization, content in gateway.pushed:
        prefix, *parts = path.split("@base64")
        assert prefix == "/base/metrics/job"
        groups.append([base64.urlsafe_b64decode(one.split("/")[1]).decode() for one in parts])
        assert kind.startswith("text/plain; version=0.0.4")
        assert base64.b64decode(authorization.split()[1]).decode() == f"agent:{PASSWORD}"
        clusters = {name[1] for name in samples(content.decode()) if name[0] == "state"}
        assert clusters == {groups[-1][2]}
    assert groups == [["raft-snapshot-agent", "host/1", one] for one in ("a", "b")]


async def test_one_cluster_alone_has_no_group_of_its_name(tmp_path: Path, gateway: Gateway) -> None:
    await left(fleet(tmp_path, {"pushgateway": gateway.url}), report())

    ((path, *_),) = gateway.pushed
    assert path.count("@base64") == 2


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"textfile": "{tmp}/missing/raft.prom"}, "cannot write metrics to {tmp}/missing/raft.prom"),
        ({"textfile": "{tmp}/snapshots/a.prom/b.prom"}, "cannot write metrics to"),
        ({"pushgateway": "http://127.0.0.1:1"}, "cannot push metrics to http://127.0.0.1:1"),
        ({"pushgateway": "{url}"}, "cannot push metrics to {url}: access denied (403"),
    ],
)  # fmt: skip
async def test_what_fails_is_one_warning(
    tmp_path: Path, gateway: Gateway, metrics: dict[str, str], words: str
) -> None:
    gateway.status = 403
    said = {"tmp": str(tmp_path), "url": gateway.url}
    loaded = fleet(tmp_path, {key: one.format(**said) for key, one in metrics.items()})
    (tmp_path / "snapshots" / "a.prom").write_text("")

    (warning,) = await left(loaded, report())

    assert warning.startswith(words.format(**said))
    assert "it does not concern the snapshot" in warning or "127.0.0.1:1" in warning
    assert "\n" not in warning


async def test_a_gateway_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_metrics, "_WITHIN", timedelta(seconds=0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (warning,) = await left(fleet(tmp_path, {"pushgateway": url}), report())

    assert warning.startswith(f"cannot push metrics to {url}: no answer in time")
