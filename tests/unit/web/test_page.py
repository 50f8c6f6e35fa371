"""The page shows every kind of status, in words that agree with all others, and harms nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
from tests.unit.web.html_check import Checked
from tests.unit.web.serving import serve
from tests.unit.web.statuses import (
    HOSTILE,
    HOUR,
    KINDS,
    NOW,
    agent,
    cluster,
    many,
    runs,
    storage,
    stored,
)

from raft_snapshot_agent.core.alarms.problems import STARTING, list_problems, severity_of
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.web.page.changes import compare_runs
from raft_snapshot_agent.web.page.charts import draw_charts
from raft_snapshot_agent.web.page.cluster_view import PageQuery
from raft_snapshot_agent.web.page.render import render_page
from raft_snapshot_agent.web.page.timeline import SLOTS, draw_timeline
from raft_snapshot_agent.web.page.view import CARDS, PROBLEMS, PROBLEMS_OF_MANY, view_page

SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_status_is_a_sound_page(kind: str) -> None:
    status = KINDS[kind]()
    text = render_page(status).decode()
    page = Checked(text)
    assert page.wrong == []
    assert "<script>alert" not in text
    behind = "https://proxy.example/backup/"  # which passes on what is below this path
    led = {urljoin(behind, one) for one in page.links} - {"data:,"}
    assert all(one.startswith(behind) for one in led), page.links
    assert text.count("<script") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_word_and_what_to_do_are_those_of_all_others(kind: str) -> None:
    status = KINDS[kind]()
    problems = list_problems(status)
    page = Checked(render_page(status).decode())
    shown = view_page(status)
    assert shown.word in page.text
    assert shown.word in {str(severity_of(problems)), STARTING if not problems else ""}
    for problem in problems[: PROBLEMS if shown.cards else PROBLEMS_OF_MANY]:
        for told in (problem.text, problem.advice):
            assert " ".join(told.split()) in page.text


WORDS = {
    "fine": "All is well",
    "partial": "Failing",
    "failed": "Failing",
    "never-run": STARTING,
    "standby": "All is well",
    "lease-elsewhere": "All is well",
    "stale": "Failing",
    "guard-alarm": "Needs attention",
    "stuck": "Failing",
    "drill-failed": "Failing",
    "disabled": "Failing",
}


@pytest.mark.parametrize(("kind", "word"), WORDS.items())
def test_the_one_word_for_each_kind(kind: str, word: str) -> None:
    assert view_page(KINDS[kind]()).word == word


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("standby", "another agent: the node here does not lead"),
        ("lease-elsewhere", "another agent: vault-2.example.org/4711"),
        ("running", "A snapshot is under way: 8.6 MiB in 4s"),
        ("guard-alarm", "the cluster's ID changed"),
        ("partial", "Not stored for 2h20m, 3 times"),
        ("unlisted", "cannot list s3: connection refused"),
        ("never-run", "not looked at yet"),
        ("nothing", "No cluster is configured."),
        ("drill-failed", "no such mount"),
        ("two", "2 clusters; none is without a snapshot for longer than 20m"),
    ],
)
def test_what_an_operator_looks_for_is_there(kind: str, said: str) -> None:
    assert said in Checked(render_page(KINDS[kind]()).decode()).text


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    text = render_page(KINDS["hostile"]()).decode()
    assert HOSTILE in Checked(text).text
    assert "<script>alert" not in text
    asked = render_page(many(10), PageQuery(words=HOSTILE)).decode()
    assert Checked(asked).wrong == []
    assert "<script>alert" not in asked


def test_no_secret_is_shown_anywhere() -> None:
    remember(SECRET)
    bad = OngoingFailure(f"denied: token {SECRET}, https://me:{SECRET}@store.example.org", NOW)
    leaking = storage(failing=bad, warnings=(SECRET,), location=f"https://x:{SECRET}@a/b")
    status = agent(cluster(storages=(leaking,), failing=bad, login_failing=SECRET, node=SECRET))
    text = render_page(status).decode()
    assert SECRET not in text
    assert "[hidden]" in text


async def test_no_secret_is_in_an_answer_of_the_api() -> None:
    remember(SECRET)
    bad = OngoingFailure(f"denied: {SECRET}", NOW)
    async with serve(agent(cluster(storages=(storage(failing=bad),), failing=bad))) as web:
        for path in ("/", "/api/v1/status", "/v1/sys/storage/raft/snapshot-auto/status/default"):
            answer = await web.ask(path)
            assert answer.status == 200
            assert SECRET not in answer.text


async def test_the_page_needs_nothing_but_what_is_served_beside_it() -> None:
    async with serve() as web:
        page = Checked((await web.ask("/")).text)
        for link in page.links:
            if not link.startswith(("#", "data:")):
                assert (await web.ask(urljoin("/", link))).status == 200
        for path in ("/style.css", "/live.js"):
            assert not re.search(
                r"https?:|url\(|@import|innerHTML|eval|[\"']/\w", (await web.ask(path)).text
            )


def test_a_gap_is_seen_in_the_timeline() -> None:
    assert draw_timeline(cluster(runs=(), storages=()), NOW) is None
    fine = draw_timeline(cluster(), NOW)
    assert fine is not None
    assert [one.kind for one in fine.marks] == ["ok"] * SLOTS
    kept = tuple(one for one in runs() if not NOW - 30 * HOUR < one.started_at < NOW - 20 * HOUR)
    bare = (storage(count=1),)
    gap = draw_timeline(cluster(runs=kept, storages=bare), NOW)
    assert gap is not None
    assert [one.kind for one in gap.marks].count("missing") == 10
    assert "10 missing" in gap.summary


def test_a_timeline_tells_whose_snapshots_they_are_and_what_failed() -> None:
    others = draw_timeline(cluster(runs=()), NOW)
    assert others is not None
    assert {one.kind for one in others.marks} == {"other"}
    partial = draw_timeline(KINDS["partial"]().clusters[0], NOW)
    failed = draw_timeline(KINDS["failed"]().clusters[0], NOW)
    assert partial is not None
    assert failed is not None
    assert [one.kind for one in partial.marks[-3:]] == ["partial"] * 3
    assert [one.kind for one in failed.marks[-4:]] == ["failed"] * 4
    short = draw_timeline(cluster(runs=runs(3), storages=(storage(count=3),)), NOW)
    assert short is not None
    assert [one.kind for one in short.marks].count("before") == SLOTS - 3


def test_of_several_tries_in_one_slot_the_best_is_shown() -> None:
    tries = [replace(one, started_at=one.started_at + timedelta(minutes=2)) for one in runs(5)]
    failed = [replace(one, outcome=Outcome.FAILED) for one in runs(5)]
    line = draw_timeline(cluster(runs=(*failed, *tries), storages=(storage(count=5),)), NOW)
    assert line is not None
    assert [one.kind for one in line.marks[-5:]] == ["ok"] * 5


def test_what_shrank_and_what_is_missing_is_marked_in_the_charts() -> None:
    def listed(*changes: Any) -> Any:
        some = storage()
        assert some.holding is not None
        return replace(
            some, holding=replace(some.holding, survey=replace(some.holding.survey, listed=changes))
        )

    small = stored(1, size=1000)
    size, index = draw_charts((listed(stored(0), small, stored(2), stored(9)),))
    assert [spot.title for spot in size.spots] == [f"{small.name}: 1000 B"]
    assert len(size.pieces) == 2
    assert index.spots == ()
    back = stored(0, index=5)
    assert len(draw_charts((listed(back, stored(1), stored(2)),))[1].spots) == 1
    assert draw_charts((listed(stored(0)),)) == ()
    assert draw_charts(()) == ()


def test_a_folder_that_gets_nothing_while_another_agent_works_is_no_alarm() -> None:
    both = (storage(newest=5), storage("s3", "s3"))
    tones = [
        [
            each.tone
            for each in view_page(agent(cluster(storages=both, role=role))).clusters[0].storages
        ]
        for role in (Role.STANDS_BY, Role.WORKS)
    ]
    assert tones == [["idle", "good"], ["bad", "good"]]


def test_of_many_clusters_those_with_problems_come_first_and_one_can_be_chosen() -> None:
    status = many(500)
    page = view_page(status)
    assert not page.cards
    assert [one.tone for one in page.clusters] == sorted(
        (one.tone for one in page.clusters), key=["bad", "warn", "good"].index
    )
    assert len(page.problems) == PROBLEMS_OF_MANY
    assert page.more_problems > 0
    one = view_page(status, PageQuery(cluster="team-003"))
    assert one.cards
    assert [each.name for each in one.clusters] == ["team-003"]
    assert one.clusters[0].storages
    some = view_page(status, PageQuery(words="TEAM-00"))
    assert len(some.clusters) == 10
    assert view_page(many(CARDS)).cards
    assert view_page(status, PageQuery(cluster="nobody")).clusters == ()


async def test_a_cluster_that_nobody_has_is_not_found() -> None:
    async with serve(many(10)) as web:
        page = await web.ask("/?cluster=nobody")
        assert (page.status, "No cluster has that name." in page.text) == (404, True)
        assert (await web.ask("/?cluster=team-001")).status == 200
        assert (await web.ask("/?q=nobody")).status == 200


def test_a_row_names_the_storage_whose_problem_it_tells() -> None:
    stale = many(CARDS + 1)
    first = replace(stale.clusters[0], storages=(storage(newest=9),), failing=None)
    page = view_page(replace(stale, clusters=(first, *stale.clusters[1:])))
    told = next(one.told for one in page.clusters if one.name == first.name)
    assert told.startswith("local: ")


def test_what_changed_between_any_two_snapshots_is_told_by_mount() -> None:
    whole = cluster()
    newest = compare_runs(whole, "", "")
    assert newest is not None
    assert (newest.before, newest.after) == ("run-1", "run-0")
    assert newest.summary == "3 keys more, 0 fewer, in 1 mount"
    back = compare_runs(whole, "run-0", "run-10")
    assert back is not None
    (row,) = back.rows
    assert (row.path, row.before, row.after, row.keys) == ("secret/", "900", "870", "-30")
    assert row.size == "-3.9 KiB"
    assert compare_runs(whole, "nobody", "run-5 ") == newest
    assert compare_runs(cluster(runs=runs(1)), "", "") is None
    assert compare_runs(cluster(runs=()), "", "") is None
    same = compare_runs(whole, "run-3", "run-3")
    assert same is not None
    assert same.rows == ()


async def test_any_two_can_be_chosen() -> None:
    async with serve(many(10)) as web:
        page = Checked((await web.ask("/?cluster=team-001&from=run-10&to=run-0")).text)
    assert page.wrong == []
    assert "What changed: 30 keys more, 0 fewer, in 1 mount" in page.text


def test_it_is_told_why_each_snapshot_stays() -> None:
    def told(some: StorageStatus) -> set[str]:
        (card,) = view_page(agent(cluster(storages=(some,)))).clusters
        return {one.kept for one in card.storages[0].snapshots}

    assert any("daily" in one for one in told(storage()))
    assert told(storage(retention=None)) == {"no rule says what goes"}
    assert told(storage(retention=Retention())) == {"no rule says what goes"}
    kept = storage(retention=Retention(last=2))
    assert "goes with the next prune" in told(kept)
    assert kept.holding is not None
    apart = replace(kept, holding=replace(kept.holding, prunes=False))
    assert told(apart) == {"nothing is deleted here"}
    alarmed = replace(kept, alarm="the cluster's ID changed")
    assert "goes with the next prune" not in told(alarmed)
