"""Every kind of status, told in every way: page, JSON, metrics, terminal, `check` and notifications agree."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.core.alarms.test_problems import CASES, FRESH, NOW, surveyed

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.status import StatusWish, exit_code, show
from raft_snapshot_agent.core.alarms.alerts import EVENTS, find_alerts
from raft_snapshot_agent.core.alarms.problems import Severity, list_problems, severity_of
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.core.state.verdict import overall
from raft_snapshot_agent.doctor.nagios import document as check_document
from raft_snapshot_agent.metrics.exposition import exposition
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.standard_output import flush
from raft_snapshot_agent.web.page.render import render_page

CODES = {Severity.FINE: 0, Severity.ATTENTION: 6, Severity.FAILING: 2}


def status_of(case: str) -> AgentStatus:
    if case == "fine":
        return AgentStatus("1", NOW, NOW, (ClusterStatus("prod", (surveyed(FRESH),)),))
    facts, storage, _, _ = CASES[case]
    return AgentStatus("1", NOW, NOW, (replace(ClusterStatus("prod", (storage,)), **facts),))


def samples(status: AgentStatus) -> dict[str, float]:
    """Read the metrics of the one cluster and its one storage."""
    _, text = exposition(status)
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if "outcome" not in sample.labels
    }


def test_what_nobody_has_looked_at_is_not_called_well() -> None:
    unknown = AgentStatus("1", NOW, NOW, (ClusterStatus("prod", (StorageStatus("a", "s3"),)),))
    told = document(unknown)
    assert (told["summary"], exit_code(told)) == ("Starting", 0)
    assert "Starting" in render_page(unknown).decode()


@pytest.mark.parametrize("where", ["another cluster", "another storage"])
def test_nor_what_was_looked_at_in_part(where: str) -> None:
    fine, unknown = surveyed(FRESH), StorageStatus("a", "s3")
    clusters = (
        (ClusterStatus("prod", (fine,)), ClusterStatus("test", (unknown,)))
        if where == "another cluster"
        else (ClusterStatus("prod", (fine, unknown)),)
    )
    status = AgentStatus("1", NOW, NOW, clusters)
    assert document(status)["summary"] == "Starting"
    page = html.unescape(render_page(status).decode())
    assert "Starting" in page.partition("<h1")[2].partition("</h1>")[0]


@pytest.mark.parametrize("case", ["fine", *CASES])
def test_all_say_the_same(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = status_of(case)
    (cluster,) = status.clusters
    problems, verdicts = list_problems(status), cluster.judge(NOW)
    word, state = str(severity_of(problems)), cluster.state(NOW)

    told = document(status)
    assert (told["summary"], told["status"]) == (word, CheckState(severity_of(problems)).name)
    assert told["exit_code"] == CODES[severity_of(problems)]
    assert told["clusters"][0]["status"] == told["status"]
    assert [one["message"] for one in told["problems"]] == [one.text for one in problems]
    assert exit_code(told) == CODES[severity_of(problems)]

    asked = check_document(verdicts)
    assert [one["status"] for one in asked["storages"]] == [
        one["status"] for one in told["clusters"][0]["storages"]
    ]
    assert state == (CheckState.CRITICAL if cluster.disabled else overall(verdicts))

    measured = samples(status)
    assert measured["raft_snapshot_state"] == state
    assert measured["raft_snapshot_storage_state"] == verdicts[0].state

    page = html.unescape(render_page(status).decode())
    assert word in page
    assert all(one.text in page and one.advice in page for one in problems)

    show(told, running=True, wish=StatusWish())
    flush()
    shown = capsys.readouterr().out
    assert shown.startswith(f"{word}: ")
    assert all(output.one_line(one.text) in shown and one.advice in shown for one in problems)

    events = {one.event for one in find_alerts(status)}
    assert {EVENTS[one.kind] for one in problems if one.kind in EVENTS} <= events
    assert bool(events) <= bool(problems)
