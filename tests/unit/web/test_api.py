"""What is asked over HTTP is answered from the status, and from nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.web.serving import WITHIN, serve
from tests.unit.web.statuses import KINDS, NOW, agent, cluster, many, storage, stored

from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.web.probes import STALE, probe_health, probe_readiness
from raft_snapshot_agent.web.routes import ADDRESSES
from raft_snapshot_agent.web.stored import Question, list_snapshots
from raft_snapshot_agent.web.vault_words import describe_in_vaults_words, find_cluster

TOKEN = "0123456789abcdef-web"
BEARER = f"Bearer {TOKEN}"


async def test_the_status_is_served_as_the_document_that_all_show() -> None:
    async with serve() as web:
        answer = await web.ask("/api/v1/status")
        assert answer.status == 200
        assert answer.json == json.loads(json.dumps(document(web.board.read())))


async def test_every_address_answers_and_describes_itself() -> None:
    async with serve(agent(cluster("prod"))) as web:
        described = (await web.ask("/api/v1/openapi.json")).json["paths"]
        assert set(described) == {one.path for one in ADDRESSES}
        for one in ADDRESSES:
            if one.kind == "text/event-stream" or one.method == "POST":
                continue
            answer = await web.ask(one.path.replace("{name}", "prod"))
            assert answer.status == 200, one.path
            assert answer.headers["content-type"].startswith(one.kind)
        assert (await web.ask("/api/v1/nothing")).status == 404
        assert (await web.ask("/api/v1/status", "DELETE")).status == 405


async def test_a_change_is_told_to_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.api._SPACING", 0.01)
    async with serve() as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(WITHIN):
            # or nginx holds the events back
            await reader.readuntil(b"x-accel-buffering: no\r\n")
            await reader.readuntil(b'data: {"version": 0}')
            web.board.change("", lambda one: replace(one, node="https://vault-2:8200"))
            await reader.readuntil(b'data: {"version": 1}')
        writer.close()


async def test_a_snapshot_is_taken_only_where_that_is_allowed_and_the_token_is_known() -> None:
    path = "/api/v1/snapshot"
    async with serve(token=TOKEN) as web:
        assert (await web.ask(path, "POST", Authorization=BEARER)).status == 403
        assert web.asked == []
    async with serve(agent(cluster("prod")), token=TOKEN, allow_snapshot=True) as web:
        assert (await web.ask(path, "POST")).status == 401
        assert (await web.ask(path, "POST", Authorization=f"{BEARER}x")).status == 401
        assert (await web.ask(f"{path}?token={TOKEN}", "POST")).status == 401
        assert web.asked == []
        assert (await web.ask(path, "POST", Authorization=BEARER)).status == 202
        assert (await web.ask(f"{path}?cluster=prod", "POST", Authorization=BEARER)).status == 202
        assert (await web.ask(f"{path}?cluster=x", "POST", Authorization=BEARER)).status == 404
        assert web.asked == [None, "prod", "x"]


@pytest.mark.parametrize("query", ["Cluster=prod", "cluster=prod&storage=s3"])
async def test_a_misspelt_parameter_takes_no_snapshot_of_all(query: str) -> None:
    async with serve(agent(cluster("prod")), token=TOKEN, allow_snapshot=True) as web:
        answer = await web.ask(f"/api/v1/snapshot?{query}", "POST", Authorization=BEARER)
        assert answer.status == 400
        assert "cluster" in answer.text
        assert web.asked == []
        listed = await web.ask("/api/v1/snapshots?Cluster=prod", Authorization=BEARER)
        assert listed.status == 400


async def test_of_a_disabled_cluster_no_snapshot_is_taken_and_the_reason_is_told() -> None:
    why = "clusters.prod: the secret in env://X is missing"
    disabled = ClusterStatus("prod", disabled=why)
    vault = "/v1/sys/storage/raft/snapshot-auto/status/prod"
    async with serve(agent(disabled), token=TOKEN, allow_snapshot=True) as web:
        for query in ("", "?cluster=prod"):
            answer = await web.ask(f"/api/v1/snapshot{query}", "POST", Authorization=BEARER)
            assert answer.status == 409
            assert why in answer.json["error"]
        answer = await web.ask("/api/v1/snapshot?cluster=x", "POST", Authorization=BEARER)
        assert answer.status == 404
        data = (await web.ask(vault, Authorization=BEARER)).json["data"]
        assert (data["last_snapshot_error"], data["consecutive_errors"]) == (why, 1)


async def test_a_number_that_is_none_is_refused() -> None:
    async with serve() as web:
        for wrong in ("limit=x", "offset=-1", "limit=%D9%A3", "offset=99999999999999999999"):
            assert (await web.ask(f"/api/v1/snapshots?{wrong}")).status == 400


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 200),
        ("cluster=prod", 200),
        ("cluster=prod&storage=local", 200),
        ("storage=local", 200),
        ("cluster=nope", 404),
        ("cluster=nope&storage=local", 404),
        ("storage=nope", 404),
        ("cluster=", 404),
    ],
)
async def test_a_name_that_nobody_has_is_not_found(query: str, code: int) -> None:
    async with serve(agent(cluster("prod"))) as web:
        assert (await web.ask(f"/api/v1/snapshots?{query}")).status == code


def test_what_is_stored_is_listed_page_by_page() -> None:
    status = agent(cluster("a"), cluster("b"))
    everything = list_snapshots(status, Question(limit=1000))
    assert everything["total"] == 240
    assert everything["next_offset"] is None
    paged, offset = [], 0
    while offset is not None:
        page = list_snapshots(status, Question(offset=offset, limit=50))
        paged += page["snapshots"]
        offset = page["next_offset"]
    assert paged == everything["snapshots"]
    chosen = list_snapshots(status, Question("b", "s3"))["snapshots"]
    assert {(one["cluster"], one["storage"]) for one in chosen} == {("b", "s3")}
    assert chosen[0]["name"] == stored(0).name


@pytest.mark.parametrize("state", ["held", "mismatched", "drilled"])
def test_what_is_known_of_a_stored_snapshot_is_listed(state: str) -> None:
    survey = Survey.of((stored(0, **{state: True}), stored(1)), NOW)
    one = storage(holding=Holding("local", "local", survey=survey))
    both = list_snapshots(agent(cluster(storages=(one,))), Question())
    assert [one[state] for one in both["snapshots"]] == [True, False]


def test_vault_enterprises_errors_end_with_a_snapshot_of_another_agent() -> None:
    failed = KINDS["failed"]().clusters[0]
    assert describe_in_vaults_words(failed)["consecutive_errors"] > 0
    served = describe_in_vaults_words(failed.served_by_another())
    assert (served["consecutive_errors"], served["last_snapshot_error"]) == (0, "")
    assert served["last_snapshot_end"] == describe_in_vaults_words(failed)["last_snapshot_end"]


def test_the_words_of_vault_enterprise() -> None:
    status = KINDS["partial"]()
    told = describe_in_vaults_words(status.clusters[0])
    assert told == {
        "consecutive_errors": 3,
        "last_snapshot_end": "2026-11-26T12:00:08Z",
        "last_snapshot_error": "s3: cannot reach s3.example.org: connection refused",
        "last_snapshot_start": "2026-11-26T12:00:00Z",
        "last_snapshot_url": f"/var/backups/vault/{stored(0).name}",
        "next_snapshot_start": "2026-11-26T13:00:00Z",
        "snapshot_start": "",
        "snapshot_url": "",
    }
    assert find_cluster(status, "default") is status.clusters[0]
    assert find_cluster(status, "other") is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_status_has_words_for_vault_and_for_the_probes(kind: str) -> None:
    status = KINDS[kind]()
    for one in status.clusters:
        json.dumps(describe_in_vaults_words(one))
    assert probe_health(status).good is (kind != "stuck")
    assert probe_readiness(status).good is (kind != "disabled")


def test_health_is_the_age_of_the_heartbeat() -> None:
    def beating(ago: timedelta) -> AgentStatus:
        return agent(cluster("prod", heartbeat=NOW - ago))

    assert probe_health(beating(STALE)).good
    silent = probe_health(beating(STALE + timedelta(seconds=1)))
    assert (silent.code, silent.wrong) == (503, ("prod: the schedule has not gone on for 3m1s",))
    fresh = replace(agent(cluster(heartbeat=None)), started_at=NOW)
    assert probe_health(fresh).good


def test_a_cluster_is_ready_when_its_next_snapshot_is_planned() -> None:
    assert probe_readiness(agent(cluster("prod"))).good
    fresh = probe_readiness(agent(cluster("prod", next_due=None)))
    assert (fresh.code, fresh.wrong) == (503, ("prod: has not begun yet",))


def test_what_is_rendered_is_small_enough_to_be_sent_often() -> None:
    page = json.dumps(list_snapshots(many(), Question()))
    assert len(page) < 40_000
