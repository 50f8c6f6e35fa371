"""What the log says of runs; what lasts is no flood."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.errors import (
    AgentError,
    LeaseFree,
    LeaseHeld,
    NotLeader,
    ServerError,
    Stopped,
    StorageFull,
    Unreachable,
)
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.run_log import Journal

AT = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
SNAPSHOT = Snapshot(ArchiveMeta(4711, 3, 27122), 31769, "ab" * 32)
NODE = "https://a:8200"
SKIP = "Not running on leader node, skipping."
NOW_HERE = ("info", "This agent takes the snapshots now.")

Said = Callable[[], list[tuple[str, str]]]


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def said(lines: Callable[[], list[dict[str, Any]]]) -> Said:
    return lambda: [(line["level"], line["message"]) for line in lines()]


def journal(*, cluster: str = "", seed: bool = False) -> Journal:
    return Journal(configure("json", "info"), cluster=cluster, seed=seed)


def report(*deliveries: Delivery, error: AgentError | None = None, after: int = 0) -> Report:
    at = AT + timedelta(minutes=after)
    return Report("0a1b2c", at, at, SNAPSHOT, "" if error else NODE, deliveries, error)


def stored(name: str, location: str, **more: Any) -> Delivery:
    kind = {"s3": "aws"}.get(name, name)
    return replace(Delivery(name, kind, location, 1.2345), **more)


def test_a_stored_snapshot_is_told_by_the_storages_name(said: Said) -> None:
    journal().report(report(stored("local", "/x/a.snap"), stored("s3", "s3://b/a.snap")))
    assert said() == [
        NOW_HERE,
        ("info", "Successfully created local snapshot to /x/a.snap"),
        ("info", "Successfully created s3 snapshot to s3://b/a.snap"),
    ]


def test_in_the_originals_place_its_sentences_are_word_for_word(said: Said) -> None:
    log = journal(seed=True)
    for minute in range(3):
        log.report(report(error=NotLeader("b leads"), after=minute))
    log.report(report(stored("s3", "s3://b/a.snap"), after=3))
    assert said() == [
        *[("info", SKIP)] * 3,
        NOW_HERE,
        ("info", "Successfully created aws snapshot to s3://b/a.snap"),
    ]


def test_a_new_configuration_may_end_or_begin_to_use_them(said: Said) -> None:
    log = journal(seed=True)
    log.report(report(error=NotLeader("b leads")))
    log.adopt(configure("json", "info"), seed=False)
    log.report(report(stored("s3", "s3://b/a.snap"), after=1))
    assert said() == [
        ("info", SKIP),
        NOW_HERE,
        ("info", "Successfully created s3 snapshot to s3://b/a.snap"),
    ]


def test_every_line_of_a_run_tells_which(lines: Callable[[], list[dict[str, Any]]]) -> None:
    bad = Delivery("disk", "local", error=StorageFull("no space left"))
    journal().report(report(stored("s3", "s3://b/a.snap", warnings=("w",), alarm="a"), bad))
    assert {line.get("run") for line in lines()} == {"0a1b2c"}


def test_skipping_is_told_when_it_begins_and_once_an_hour(said: Said) -> None:
    log = journal()
    log.report(report(stored("s3", "s3://b/a.snap")))
    for minute in range(1, 121):
        log.report(report(error=NotLeader(f"node{minute} leads"), after=minute))
    log.report(report(stored("s3", "s3://b/b.snap"), after=121))
    assert said() == [
        NOW_HERE,
        ("info", "Successfully created s3 snapshot to s3://b/a.snap"),
        ("info", "This agent no longer takes the snapshots: the node here does not lead."),
        ("info", SKIP),
        ("info", SKIP),
        NOW_HERE,
        ("info", "Successfully created s3 snapshot to s3://b/b.snap"),
    ]


def test_who_does_not_hold_the_lease_is_told_otherwise(said: Said) -> None:
    journal().report(report(error=LeaseHeld("another does")))
    assert said() == [("info", "Another agent holds the lease, skipping.")]


def test_a_failure_is_not_over_as_the_lease_was_given_away(said: Said) -> None:
    log = journal()
    log.report(report(error=Unreachable("no answer")))
    for minute in range(1, 9, 2):
        log.report(report(error=LeaseFree("gave it away"), after=minute))
        log.report(report(error=LeaseHeld("b has it"), after=minute + 1))
    log.report(report(error=Unreachable("no answer"), after=9))
    log.end(LogEvent.SNAPSHOT_FAILED, AT)
    assert said() == [
        ("error", "Snapshot failed: no answer"),
        ("info", "This agent does not hold the lease, skipping."),
        ("info", "Another agent holds the lease, skipping."),
        ("info", "Resolved: Snapshot failed: no answer"),
    ]


def test_a_run_that_fails_for_hours_is_told_hourly_with_a_count(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    log = journal()
    news = [
        log.report(report(error=Unreachable(f"cannot reach {NODE}: {n} s"), after=n))
        for n in range(90)
    ]
    log.report(report(stored("s3", "s3://b/a.snap"), after=90))
    assert [number for number, new in enumerate(news) if new] == [0, 60]
    first, second, *_, over, _ = told = lines()
    assert [line["level"] for line in told] == ["error", "error", "info", "info", "info"]
    assert "times" not in first
    assert (second["since"], second["times"]) == ("2026-11-23T15:30:00Z", 61)
    assert over["message"].startswith("Resolved: Snapshot failed: cannot reach")
    assert over["times"] == 90


def test_another_failure_is_told_at_once(said: Said) -> None:
    log = journal()
    for number, why in enumerate(("refused", "refused", "timed out", "refused")):
        log.report(report(error=Unreachable(f"cannot reach it: {why}"), after=number))
    assert [message for _, message in said()] == [
        "Snapshot failed: cannot reach it: refused",
        "Snapshot failed: cannot reach it: timed out",
    ]


def test_a_failed_storage_is_told_beside_those_that_did_not_fail(said: Said) -> None:
    failed = Delivery("disk", "local", error=StorageFull("no space left", hint="make some"))
    log = journal()
    for minute in range(3):
        log.report(report(failed, stored("s3", "s3://b/a.snap"), after=minute))
    log.report(report(stored("disk", "/x/a.snap"), after=3))
    assert said() == [
        NOW_HERE,
        ("error", "Could not store the snapshot in disk: no space left (make some)"),
        *[("info", "Successfully created s3 snapshot to s3://b/a.snap")] * 3,
        ("info", "Resolved: Could not store the snapshot in disk: no space left (make some)"),
        ("info", "Successfully created disk snapshot to /x/a.snap"),
    ]


def test_what_was_deleted_for_a_snapshot_that_failed_all_the_same_is_told(said: Said) -> None:
    failed = Delivery("disk", "local", error=StorageFull("no space left"), deleted=("a.snap",))
    log = journal()
    log.report(report(failed))
    log.report(report(replace(failed, deleted=("b.snap",)), after=1))
    assert said()[1:] == [
        ("error", "Could not store the snapshot in disk: no space left"),
        ("info", "Deleted old snapshot a.snap"),
        ("info", "Deleted old snapshot b.snap"),
    ]


def test_a_storage_that_is_not_required_is_only_warned_of(said: Said) -> None:
    failed = Delivery("disk", "local", required=False, error=StorageFull("no space left"))
    journal().report(report(failed))
    assert said()[-1] == ("warning", "Could not store the snapshot in disk: no space left")


def test_many_warnings_of_one_kind_are_one_line_with_their_number(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    log = journal()
    for minute in range(5):
        warnings = tuple(f"a-{n + minute}.snap is not deleted: locked" for n in range(32))
        log.report(report(stored("s3", "s3://b/a.snap", warnings=warnings), after=minute))
    (warning,) = (line for line in lines() if line["level"] == "warning")
    assert warning["message"] == "s3: a-0.snap is not deleted: locked"
    assert warning["more_like_it"] == 31


def test_an_alarm_is_told_with_its_remedy_and_does_not_flood(said: Said) -> None:
    log = journal()
    for minute in range(60):
        alarm = f"the Raft index went back from {minute} to 1"
        log.report(report(stored("s3", "s3://b/a.snap", alarm=alarm), after=minute))
    went_back, mend = (
        "the Raft index went back from 0 to 1",
        "check the cluster (list, inspect, diff), and only if no data is missing, run raft-snapshot-agent prune --acknowledge",
    )
    assert [one for one in said() if one[0] == "error"] == [
        ("error", f"Retention suspended for s3: {went_back}; {mend}")
    ]


def test_the_remedy_of_an_alarm_names_the_cluster(said: Said) -> None:
    alarm = "the Raft index went back"
    journal(cluster="prod").report(report(stored("s3", "s3://b/a.snap", alarm=alarm)))
    assert said()[-1][1].endswith(", run raft-snapshot-agent prune --acknowledge --cluster prod")


def test_what_a_new_configuration_does_not_watch_ends(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    log = journal()
    for event, storage in (
        (LogEvent.SCRUB_FAILED, "gone"),
        (LogEvent.SCRUB_FAILED, "disk"),
        (LogEvent.DRILL_NOT_HELD, ""),
    ):
        log.tell(event, [f"{event} {storage}"], AT, storage=storage)
    lines()
    log.drop(lambda key: key.storage != "gone", AT)
    (told,) = lines()
    assert told["message"] == "Resolved: scrub_failed gone"
    assert (told["of"], told["reason"]) == ("scrub_failed", "no longer configured")


def test_deletions_are_told_each(said: Said) -> None:
    journal().report(report(stored("s3", "s3://b/c.snap", deleted=("a.snap", "b.snap"))))
    assert said()[2:] == [
        ("info", "Deleted old snapshot a.snap"),
        ("info", "Deleted old snapshot b.snap"),
    ]


def test_a_stopped_run_is_no_failure_and_ends_nothing(said: Said) -> None:
    log = journal()
    log.report(report(error=Unreachable("gone")))
    log.report(report(error=Stopped("told to stop")))
    assert said() == [
        ("error", "Snapshot failed: gone"),
        ("info", "Stopped while a snapshot was under way; it is dropped."),
    ]


def test_one_condition_is_not_over_as_its_text_is_another(said: Said) -> None:
    log = journal()
    for minute, text in enumerate((["it is refused"], ["it is refused; paused"], [])):
        at = AT + timedelta(minutes=minute)
        log.tell(LogEvent.LOGIN_FAILING, text, at, together=True)
    assert [line for _, line in said()] == [
        "it is refused",
        "it is refused; paused",
        "Resolved: it is refused",
        "Resolved: it is refused; paused",
    ]


def test_trouble_between_two_runs_is_told_likewise(said: Said) -> None:
    log = journal()
    for minute in range(30):
        log.tell(
            LogEvent.TOKEN_TROUBLE,
            ["The token could not be renewed: refused"],
            AT + timedelta(minutes=minute),
        )
    log.end(LogEvent.TOKEN_TROUBLE, AT + timedelta(minutes=30))
    assert said() == [
        ("warning", "The token could not be renewed: refused"),
        ("info", "Resolved: The token could not be renewed: refused"),
    ]


def test_a_leader_that_may_be_elsewhere_is_told_once_an_hour(said: Said) -> None:
    written, why = journal(), ServerError("it announces another host", hint="set api_addr")
    doubted = ("warning", "it announces another host (set api_addr)")
    for after in (0, 5, 55):
        written.report(replace(report(after=after), doubt=why))
    assert [one for one in said() if one[0] == "warning"] == [doubted]
    written.report(replace(report(after=65), doubt=why))
    assert said() == [doubted]
    written.report(report(after=70))
    assert said() == [("info", f"Resolved: {doubted[1]}")]


def test_a_node_that_was_passed_over_is_told_once_an_hour_and_when_it_is_well(said: Said) -> None:
    written, why = journal(), "cannot reach http://a: it did not answer in time"
    passed = ("warning", f"Skipped a node: {why}")
    stands = [NOW_HERE[1], passed[1]]
    for after in (0, 5, 55):
        written.report(replace(report(after=after), warnings=(why,)))
    assert [text for _, text in said()] == stands
    written.report(replace(report(after=65), warnings=(why,)))
    assert said() == [passed]
    written.report(report(after=70))
    assert said() == [("info", f"Resolved: {passed[1]}")]
