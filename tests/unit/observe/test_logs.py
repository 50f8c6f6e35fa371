from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import time_machine

import raft_snapshot_agent
from raft_snapshot_agent import redaction
from raft_snapshot_agent.errors import StorageFull, Unreachable
from raft_snapshot_agent.observe import debug_log
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Format, Level, configure

AT = datetime(2026, 11, 23, 15, 30, 7, 5999, tzinfo=UTC)
# No other test's: an error with the secret of another test would count as a leak.
TOKEN = "hvs.CAESIC8Yq0mBvW3nZr5dPkXLtJ2aHsGfUe7o"
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


def test_names_of_events_never_change(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_KNOWN", redaction._Known())
    redaction.remember("configuration_loaded")
    log = configure("text", "info")
    log.info("Read configuration_loaded.", fact=LogEvent.CONFIGURATION_LOADED)
    assert lines() == [
        "2026-11-23T15:30:07.005Z info    Read [hidden].  event=configuration_loaded"
    ]


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


def test_requests_are_told_at_debug_alone(lines: Lines) -> None:
    def ask(level: Level) -> list[str]:
        configure("text", level)
        with debug_log.log_request("GET", "https://vault:8200/v1/sys/leader") as request:
            request.status = 200
        with suppress(StorageFull), debug_log.log_request("put", "s3://b/a.snap"):
            raise StorageFull("full")
        return [line.partition("Z ")[2] for line in lines()]

    assert ask("info") == []
    assert ask("debug") == [
        "debug   GET https://vault:8200/v1/sys/leader  status=200 ms=0 event=trace",
        "debug   put s3://b/a.snap  status=StorageFull ms=0 event=trace",
    ]


def test_where_a_defect_came_from_is_told_at_debug_alone(lines: Lines) -> None:
    def fail(level: Level) -> list[str]:
        configure("json", level)
        with pytest.raises(RuntimeError) as caught:
            raise RuntimeError(f"with {TOKEN}")
        assert "unexpected" in str(as_failure(caught.value))
        return lines()

    assert fail("info") == []
    said = fail("debug")
    assert any("Traceback" in line for line in said)
    assert any("raise RuntimeError" in line for line in said)
    assert all(json.loads(line)["level"] == "debug" for line in said)
    assert TOKEN not in "".join(said)


@pytest.mark.parametrize("room", ["storage/local", "observe", "service", "."])
def test_a_defect_is_placed_in_the_agents_own_code_whatever_library_raised_it(room: str) -> None:
    ours = Path(raft_snapshot_agent.__file__).parent / room / "ours.py"
    calls = compile("\n\nthem()", str(ours), "exec")
    raises = compile("def them(): raise RuntimeError", "/usr/lib/library.py", "exec")
    names: dict[str, object] = {}
    exec(raises, names)
    with pytest.raises(RuntimeError) as caught:
        exec(calls, names)
    assert str(as_failure(caught.value)).startswith("unexpected RuntimeError in ours.py:3")


def test_every_line_of_a_run_has_its_id(lines: Lines) -> None:
    log = configure("text", "debug")
    debug_log.RUN.set("0a1b2c")
    log.info("Anything.")
    with debug_log.log_request("list", "s3://b/"):
        pass
    debug_log.RUN.set("")
    log.info("Between two.")
    first, second, third = lines()
    assert first.endswith("Anything.  run=0a1b2c")
    assert second.endswith("run=0a1b2c event=trace")
    assert "run=" not in third


@pytest.mark.parametrize("layout", ["text", "json", "hclog"])
def test_text_of_others_is_one_short_line(
    layout: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\nAll is well\x1b[2J\u202e\u200b\u2028" + "x" * 50_000
    configure(layout, "info").warning(hostile, node=hostile, list=[hostile])
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()
    assert len(line) < 30_000
