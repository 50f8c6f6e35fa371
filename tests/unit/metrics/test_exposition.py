"""What is scraped is the table, in both formats, by the readers of others."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_wide
from prometheus_client.parser import text_string_to_metric_families as read_plain
from tests.prometheus import PROMTOOL, needs_promtool
from tests.unit.metrics.statuses import NOW, STATES, agent, cluster, fresh, storage

from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.status import MEASURED, Activity, AgentStatus, LeaseStatus
from raft_snapshot_agent.metrics.exposition import OPENMETRICS, TEXT, Exposer, exposition
from raft_snapshot_agent.metrics.metric import JudgedCluster, JudgedStatus, Metric, Sample
from raft_snapshot_agent.metrics.table import SNAPSHOTS, TABLE

WIDE = "application/openmetrics-text"
REPORT = Report("0a1b2c", NOW, NOW + timedelta(seconds=3))
Series = tuple[str, frozenset[tuple[str, str]]]


def told(families: Iterable[object]) -> dict[Series, str]:
    """Every sample that a reader found; NaN is equal to NaN in words only."""
    return {
        (one.name, frozenset(one.labels.items())): repr(float(one.value))
        for family in families
        for one in family.samples  # type: ignore[attr-defined]
    }


def meant(status: AgentStatus) -> dict[Series, str]:
    view = JudgedStatus.of(status)
    return {
        (metric.name, frozenset(zip(metric.labels, values, strict=True))): repr(float(value))
        for metric in SNAPSHOTS
        for values, value in metric.read(view)
    }


@pytest.mark.parametrize("state", STATES)
def test_both_formats_say_what_the_table_does(state: str) -> None:
    status = STATES[state]

    _, plain = exposition(status, metrics=SNAPSHOTS)
    kind, wide = exposition(status, WIDE, metrics=SNAPSHOTS)

    assert kind == OPENMETRICS
    assert told(read_plain(plain.decode())) == meant(status)
    assert told(read_wide(wide.decode())) == meant(status)  # type: ignore[no-untyped-call]


def test_a_run_counts_in_every_bucket_that_is_long_enough() -> None:
    _, wide = exposition(STATES["fine"], WIDE, metrics=SNAPSHOTS)
    (family,) = (
        one
        for one in read_wide(wide.decode())  # type: ignore[no-untyped-call]
        if one.name == "raft_snapshot_duration_seconds"
    )

    assert family.type == "histogram"
    counts = {one.labels["le"]: one.value for one in family.samples if "le" in one.labels}
    assert (counts["3.0"], counts["10.0"], counts["180.0"], counts["600.0"]) == (0, 1, 1, 2)
    assert (counts["3600.0"], counts["+Inf"]) == (2, 3)


def test_one_who_renders_again_and_again_tells_what_is_so_each_time() -> None:
    exposer = Exposer(SNAPSHOTS)
    for status in [*STATES.values(), *reversed(STATES.values())]:
        for accept in ("", WIDE):
            assert exposer.render(status, accept) == exposition(status, accept, SNAPSHOTS)


def test_of_a_cluster_that_stands_as_before_only_what_is_measured_is_read_again() -> None:
    read: list[str] = []

    def noting(metric: Metric) -> Metric:
        def each(view: JudgedCluster) -> Iterable[Sample]:
            read.append(f"{view.cluster.name} {metric.name}")
            return () if metric.each is None else metric.each(view)

        return metric if metric.each is None else replace(metric, each=each)

    a, b = cluster("a"), cluster("b")
    exposer = Exposer([*map(noting, SNAPSHOTS)])
    exposer.render(agent(a, b))
    of_clusters = [one for one in SNAPSHOTS if one.each is not None]
    assert len(read) == 2 * len(of_clusters)

    read.clear()
    exposer.render(agent(replace(a, heartbeat=NOW, spool_free=5), replace(b, stuck=True)))
    measured = [one.name for one in of_clusters if one.measured]
    assert sorted(read) == sorted(f"{one} {name}" for name in measured for one in "ab")

    read.clear()
    exposer.render(agent(a, b.ended(REPORT)))
    assert {one for one in read if one.startswith("a ")} == {f"a {name}" for name in measured}
    assert len(read) == len(measured) + len(of_clusters)


def test_a_storage_that_grows_old_is_told_though_nothing_was_published() -> None:
    exposer, status = Exposer(SNAPSHOTS), STATES["fine"]
    exposer.render(status)
    later = replace(status, at=NOW + timedelta(days=1))

    assert exposer.render(later) == exposition(later, metrics=SNAPSHOTS)
    assert exposer.render(later) != exposer.render(status)


@pytest.mark.parametrize("field", sorted(MEASURED))
def test_what_changes_without_anybodys_publishing_it_is_measured_anew(field: str) -> None:
    changes = {
        "activity": Activity("0a1b2c", NOW, 1 << 20),
        "lease": LeaseStatus("s3://b", trouble="503"),
        "token_expires_at": NOW,
        "heartbeat": NOW,
        "stuck": True,
        "spool_free": 1,
    }
    before = STATES["lease held"]
    (one,) = before.clusters
    after = replace(before, clusters=(replace(one, **{field: changes[field]}),))  # type: ignore[arg-type]

    views = [JudgedStatus.of(status) for status in (before, after)]
    changed = [
        metric for metric in SNAPSHOTS if len({repr([*metric.read(view)]) for view in views}) > 1
    ]

    assert changed
    assert all(one.measured for one in changed)


def test_every_metric_has_its_words_and_its_type() -> None:
    _, wide = exposition(agent(), WIDE)
    found = {one.name: (one.type, one.documentation) for one in read_wide(wide.decode())}  # type: ignore[no-untyped-call]

    assert found == {one.family: (one.kind, one.help) for one in TABLE}


def test_every_series_is_there_from_the_first_scrape() -> None:
    later = agent(cluster("", storage("local"), storage("s3")), notifications={})

    first = {name for name, _ in meant(fresh())}
    assert first == {one.name for one in SNAPSHOTS} - {"raft_snapshot_notifications_total"}
    assert {series for series in meant(later) if series not in meant(fresh())} == set()


@pytest.mark.parametrize(
    ("name", "status", "value"),
    [
        ("last_success_timestamp_seconds", agent(cluster("c", storage("s", None))), 0),
        ("last_success_timestamp_seconds", agent(cluster("c", storage("s", None, listed_at=None))), math.nan),
        ("last_success_timestamp_seconds", agent(cluster("c", storage("s", NOW))), NOW.timestamp()),
        ("overdue_timestamp_seconds", agent(cluster("c", storage("s", NOW))), NOW.timestamp() + 5400),
        ("overdue_timestamp_seconds", agent(cluster("c", storage("s", None))), math.nan),
        ("overdue_timestamp_seconds", STATES["fresh"], math.nan),
        ("stored", agent(cluster("c", storage("s", None))), 0),
        ("stored", agent(cluster("c", storage("s", None, listed_at=None))), math.nan),
        ("storage_state", STATES["stale"], 2),
        ("storage_state", STATES["fresh"], 3),
        ("state", STATES["disabled"], 2),
        ("leader", STATES["standby"], 0),
        ("leader", STATES["fine"], 1),
        ("leader", STATES["fresh"], math.nan),
        ("scrub_last_timestamp_seconds", STATES["fine"], math.nan),
        ("scrub_last_timestamp_seconds", STATES["scrubbed"], NOW.timestamp() - 3600),
        ("stored_rotten", STATES["scrubbed"], 0),
        ("stored_rotten", STATES["rotten"], 1),
        ("stored_vanished", STATES["rotten"], 1),
        ("lease_held", STATES["fine"], math.nan),
        ("lease_held", STATES["lease elsewhere"], 0),
        ("lease_failing", STATES["lease lost"], 1),
        ("drill_passed", STATES["fine"], math.nan),
        ("drill_passed", STATES["drill failed"], 0),
        ("last_exit_code", STATES["broken"], 4),
        ("last_exit_code", STATES["fresh"], math.nan),
        ("last_exit_code", STATES["standby"], math.nan),
        ("duration_seconds_count", STATES["fresh"], 0),
        ("duration_seconds_count", STATES["fine"], 3),
        ("duration_seconds_sum", STATES["fine"], 7454),
        ("duration_seconds_bucket", STATES["fine"], 3),
        ("storage_consecutive_failures", STATES["partial"], 3),
        ("consecutive_failures", STATES["failed"], 3),
        ("config_last_reload_successful", STATES["refused"], 0),
        ("token_expiry_timestamp_seconds", STATES["fine"], math.nan),
        ("retention_suspended", STATES["alarm"], 1),
        ("received_bytes", STATES["busy"], 1 << 20),
    ],
)  # fmt: skip
def test_what_is_unknown_is_nan_and_what_never_was_is_zero(
    name: str, status: AgentStatus, value: float
) -> None:
    (metric,) = (one for one in SNAPSHOTS if one.name == f"raft_snapshot_{name}")

    found = [one for _, one in metric.read(JudgedStatus.of(status))][-1]
    assert repr(float(found)) == repr(float(value))


@pytest.mark.parametrize("state", STATES)
def test_the_states_are_those_of_check(state: str) -> None:
    status = STATES[state]
    found = dict(meant(status))

    for one in status.clusters:
        labels = frozenset({("cluster", one.name)})
        assert float(found["raft_snapshot_state", labels]) == one.state(status.at)
        for verdict in one.judge(status.at):
            both = labels | {("storage", verdict.storage)}
            assert float(found["raft_snapshot_storage_state", both]) == verdict.state


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (WIDE, OPENMETRICS),
        (f"{WIDE}; version=1.0.0; charset=utf-8", OPENMETRICS),
        (f"{WIDE};version=1.0.0,{WIDE};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OPENMETRICS),
        (f"{WIDE};version=9.0.0", TEXT),
        (f"{WIDE};q=0.1,text/plain;q=0.5", TEXT),
        (f"{WIDE};q=0", TEXT),
        (f"{WIDE};q=much", TEXT),
        (f"{WIDE};q=nan", TEXT),
        (",;=;;," * 1000, TEXT),
    ],
)  # fmt: skip
def test_the_scraper_gets_the_format_it_prefers(accept: str, kind: str) -> None:
    assert exposition(agent(), accept)[0] == kind


@needs_promtool
def test_promtool_finds_nothing_to_improve() -> None:
    _, content = exposition(STATES["two"])

    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=content, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_process_tells_what_it_takes() -> None:
    found = {one.name: one.samples for one in read_plain(exposition(agent())[1].decode())}

    assert 1 << 20 < found["process_resident_memory_bytes"][0].value < 1 << 40
    assert found["process_open_fds"][0].value <= found["process_max_fds"][0].value
    assert found["process_start_time_seconds"][0].value > 1e9


def test_rendering_loads_no_library() -> None:
    script = "import sys; import raft_snapshot_agent.metrics.exposition; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    libraries = {"prometheus_client", "starlette", "uvicorn", "anyio", "pydantic", "urllib3"}
    assert libraries & set(done.stdout.split()) == set()
