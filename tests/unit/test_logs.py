from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import structlog
import time_machine

from raft_snapshot_agent.core.report import Delivery, Report
from raft_snapshot_agent.core.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import (
    AgentError,
    NotLeader,
    Stopped,
    StorageFull,
    Unreachable,
)
from raft_snapshot_agent.logs import Format, Level, configure, log_report

AT = datetime(2026, 11, 23, 15, 30, 7, 5999, tzinfo=UTC)
SNAPSHOT = Snapshot(ArchiveMeta(4711, 3, 27122), 31769, "ab" * 32)
TOKEN = "hvs.CAESIJ1pOMGtQgbwLhRmCXKV8tdTnNoKhm0K"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"

Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    with time_machine.travel(AT, tick=False):
        yield
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return what was logged since the last call; nothing ever goes to standard output."""

    def read() -> list[str]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()

    return read


def report(*deliveries: Delivery, error: AgentError | None = None) -> Report:
    return Report("0a1b2c", AT, AT, SNAPSHOT, "https://a:8200", deliveries, error)


def stored(kind: str, location: str, **more: object) -> Delivery:
    return Delivery(kind, kind, location, 1.2345, **more)  # type: ignore[arg-type]


def test_text_lines_say_when_how_bad_what_and_the_facts(lines: Lines) -> None:
    log = configure("text", "info")
    log.info("Taken.", index=4711, where="a b", empty=None)
    log.warning("Slow.")
    log.error("Broken.")
    assert lines() == [
        '2026-11-23T15:30:07.005Z info    Taken.  index=4711 where="a b" empty=None',
        "2026-11-23T15:30:07.005Z warning Slow.",
        "2026-11-23T15:30:07.005Z error   Broken.",
    ]


def test_json_lines_are_objects(lines: Lines) -> None:
    configure("json", "info").info("Taken.", index=4711, names=["ä", 'b"'], ok=True, gone=None)
    (line,) = lines()
    assert json.loads(line) == {
        "timestamp": "2026-11-23T15:30:07.005Z",
        "level": "info",
        "message": "Taken.",
        "index": 4711,
        "names": ["ä", 'b"'],
        "ok": True,
        "gone": None,
    }


def test_hclog_lines_line_up_with_the_servers_own(lines: Lines) -> None:
    log = configure("hclog", "debug")
    log.debug("Asked.")
    log.info("Taken.", index=4711)
    log.warning("Slow.")
    log.error("Broken.")
    assert lines() == [
        "2026-11-23T15:30:07.005Z [DEBUG] snapshot-agent: Asked.",
        "2026-11-23T15:30:07.005Z [INFO]  snapshot-agent: Taken.: index=4711",
        "2026-11-23T15:30:07.005Z [WARN]  snapshot-agent: Slow.",
        "2026-11-23T15:30:07.005Z [ERROR] snapshot-agent: Broken.",
    ]


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_nothing_below_the_level_is_written(level: Level, written: list[str], lines: Lines) -> None:
    log = configure("json", level)
    for write in (log.debug, log.info, log.warning, log.error):
        write("Something.")
    assert [json.loads(line)["level"] for line in lines()] == written


def test_the_http_library_does_not_grumble_beside_us(lines: Lines) -> None:
    configure("text", "debug")
    logging.getLogger("urllib3.connectionpool").warning("Connection pool is full")
    assert lines() == []


@pytest.mark.parametrize("layout", ["text", "json", "hclog"])
def test_secrets_are_hidden_wherever_they_stand(layout: Format, lines: Lines) -> None:
    log = configure(layout, "info")
    log.info(f"Sent {TOKEN} to https://me:hunter2@vault:8200/x.")
    log.info("Sent.", token=TOKEN, url="https://me:hunter2@vault")
    log.info("Sent.", names=["a", TOKEN], more={"key": KEY_ID, "deep": [f"\n{TOKEN}"]})
    log.info("Sent.", error=Unreachable(f"https://me:hunter2@vault with {TOKEN}"))
    written = lines()
    assert len(written) == 4
    for line in written:
        assert "[hidden]" in line
        assert not any(secret in line for secret in (TOKEN, KEY_ID, "hunter2"))


@pytest.mark.parametrize("layout", ["text", "json", "hclog"])
def test_every_fact_is_one_line_of_plain_characters(layout: Format, lines: Lines) -> None:
    log = configure(layout, "info")
    log.info("One\r\nline\u2028\x1b[2J", name="a\nb", names=["c\nd"], error=ValueError("e\nf"))
    (line,) = lines()
    assert line.isprintable()


def test_the_original_agents_sentence_of_success(lines: Lines) -> None:
    log = configure("text", "info")
    log_report(
        log,
        report(
            stored("local", "/var/backups/raft_snapshot-1.snap"),
            stored("aws", "s3://backups/prod/a.snap"),
        ),
    )
    first, second = lines()
    assert "Successfully created local snapshot to /var/backups/raft_snapshot-1.snap" in first
    assert first.endswith("  index=4711 bytes=31769 seconds=1.23")
    assert "Successfully created aws snapshot to s3://backups/prod/a.snap" in second


def test_the_original_agents_sentence_where_another_node_leads(lines: Lines) -> None:
    log_report(configure("json", "info"), report(error=NotLeader("b leads")))
    (line,) = lines()
    said = json.loads(line)
    assert said["message"] == "Not running on leader node, skipping."
    assert (said["level"], said["reason"]) == ("info", "b leads")


def test_a_failed_run_is_one_line_of_error(lines: Lines) -> None:
    error = Unreachable("cannot reach https://a:8200: refused", hint="start it")
    log_report(configure("hclog", "info"), report(error=error))
    (line,) = lines()
    assert line.endswith(
        " [ERROR] snapshot-agent: Snapshot failed: cannot reach https://a:8200: refused (start it)"
    )


def test_a_stopped_run_is_no_failure(lines: Lines) -> None:
    log_report(configure("json", "info"), report(error=Stopped("told to stop")))
    (line,) = lines()
    assert json.loads(line)["level"] == "info"
    assert "dropped" in line


def test_a_failed_storage_is_told_beside_those_that_did_not_fail(lines: Lines) -> None:
    failed = Delivery("disk", "local", error=StorageFull("no space left", hint="make some"))
    log_report(configure("json", "info"), report(failed, stored("aws", "s3://b/a.snap")))
    said = [(json.loads(line)["level"], json.loads(line)["message"]) for line in lines()]
    assert said == [
        ("error", "Could not store the snapshot in disk: no space left (make some)"),
        ("info", "Successfully created aws snapshot to s3://b/a.snap"),
    ]


def test_deletions_and_warnings_are_told_after_the_snapshot(lines: Lines) -> None:
    delivery = stored("aws", "s3://b/c.snap", deleted=("a.snap", "b.snap"), warnings=("no list",))
    log_report(configure("json", "info"), report(delivery))
    said = [(json.loads(line)["level"], json.loads(line)["message"]) for line in lines()]
    assert said[1:] == [
        ("info", "Deleted old snapshot a.snap"),
        ("info", "Deleted old snapshot b.snap"),
        ("warning", "aws: no list"),
    ]
