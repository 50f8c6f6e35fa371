"""The commands leave their metrics: `run --once` and `save`, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.faults.site import Site, in_process
from tests.otlp import attributes, collecting

from raft_snapshot_agent.core.state.report import SHARED_PHASES, STORAGE_PHASES
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, bao: OpenBaoCluster, approle: AppRole
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        yield site


def samples(file: Path) -> dict[tuple[str, ...], float]:
    """By name and the values of all labels but the cluster's."""
    return {
        (one.name.removeprefix("raft_snapshot_"), *list(one.labels.values())[1:]): one.value
        for family in text_string_to_metric_families(file.read_text())
        for one in family.samples
    }


def test_runs_leave_a_file_and_a_gateway_that_is_down_costs_a_warning(site: Site) -> None:
    file, began = site.root / "raft.prom", time.time()
    site.more["metrics"] = {"textfile": str(file), "pushgateway": "http://127.0.0.1:1"}

    ending = site.run_once()
    assert ending.code == 0
    assert "cannot push metrics to http://127.0.0.1:1" in ending.only_error

    first = samples(file)
    assert (first["last_exit_code",], first["leader",]) == (0, 1)
    for name in ("local", "s3"):
        assert first["stored", name] == 1
        assert first["last_success_timestamp_seconds", name] >= began - 1
        assert first["storage_state", name] == 0
        for phase in STORAGE_PHASES:
            assert first["phase_duration_seconds", name, phase] >= 0
    for phase in SHARED_PHASES:
        assert first["phase_duration_seconds", "", phase] >= 0

    del site.more["metrics"]["pushgateway"]
    saved = in_process("save", "--storage", "local", "-c", str(site.configuration()))
    assert saved.code == 0
    second = samples(file)
    assert second["attempts_total", "ok"] == 2
    assert second["uploads_total", "local", "ok"] == 2
    assert second["uploads_total", "s3", "ok"] == 1
    assert (second["stored", "local"], second["stored", "s3"]) == (2, 1)


def test_a_run_is_traced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector:
        site.succeeds()

        *children, root = collector.spans
        assert attributes(root)["raft_snapshot.outcome"] == "ok"
        assert int(str(attributes(root)["raft_snapshot.bytes"])) > 0
        seen = {(one.name, attributes(one).get("raft_snapshot.storage", "")) for one in children}
        assert seen == {(one, "") for one in SHARED_PHASES} | {
            (phase, name) for phase in STORAGE_PHASES for name in ("local", "s3")
        }
        for one in children:
            assert one.parent_span_id == root.span_id
            assert root.start_time_unix_nano <= one.start_time_unix_nano
        assert not [one for one in site._secrets() if one.encode() in b"".join(collector.bodies)]


def test_a_collector_that_is_down_costs_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        collector.status = 400
        ending = site.run_once()
    assert ending.code == 0
    assert "the collector did not take a trace" in ending.only_error
