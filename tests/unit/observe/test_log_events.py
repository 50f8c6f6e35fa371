"""Every line names the fact that it tells, every name is documented, and every line its run."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from raft_snapshot_agent.observe import debug_log, strays
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Format, configure, is_journal
from raft_snapshot_agent.threads import in_thread

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src/raft_snapshot_agent"
ROWS = re.findall(
    r"^\| `(\w+)` \| ([\w, ]+) \|", (ROOT / "docs/logging.md").read_text(), re.MULTILINE
)
WRITES = re.compile(r"\.(?:info|warning|error|debug)\(|getattr\(")
LEVELS = {"info", "warning", "error", "debug"}
NOT_OURS = {"observe/debug_log.py"}
"""They write to the standard library's log, which the log forwards with a name."""


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def is_log(node: ast.expr) -> bool:
    """Whether a call is one of the log: `log.info`, or `getattr(log, level)`."""
    if isinstance(node, ast.Attribute):
        return node.attr in LEVELS and not ast.unparse(node.value).startswith("logging")
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
        return "log" in ast.unparse(node.args[0]).lower()
    return False


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name, text = str(path.relative_to(SOURCE)), path.read_text()
        for node in ast.walk(ast.parse(text)) if WRITES.search(text) else ():
            if isinstance(node, ast.Call) and is_log(node.func) and name not in NOT_OURS:
                yield f"{name}:{node.lineno}", node


def test_every_line_names_its_fact() -> None:
    found = [*calls()]
    bare = [where for where, one in found if "fact" not in {key.arg for key in one.keywords}]
    assert len(found) > 30
    assert bare == []


def test_no_level_of_the_log_is_handed_on_without_its_fact() -> None:
    handed = re.compile(r"[(,=] ?(?:self\._)?log\.(?:info|warning|error)[,)]")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line in path.read_text().splitlines()
        if handed.search(line) and "fact=" not in line
    ]
    assert found == []


def test_every_name_is_documented_once_and_used_somewhere() -> None:
    assert Counter(name for name, _ in ROWS) == Counter(one.value for one in LogEvent)
    source = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    assert [one.name for one in LogEvent if f"LogEvent.{one.name}" not in source] == []


def test_documented_levels_are_levels() -> None:
    assert {level for _, levels in ROWS for level in levels.split(", ")} <= LEVELS


@pytest.mark.parametrize(
    ("layout", "shown"),
    [
        ("text", "info    Stored.  cluster=prod run=0a1b2c bytes=1 event=snapshot_stored"),
        ("hclog", "Stored.: cluster=prod run=0a1b2c bytes=1 event=snapshot_stored"),
    ],
)
def test_the_name_stands_last_where_people_read(
    layout: Format, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = configure(layout, "info").bind(cluster="prod", run="0a1b2c")
    log.info("Stored.", fact=LogEvent.SNAPSHOT_STORED, bytes=1)
    assert capsys.readouterr().err.rstrip().endswith(shown)


def test_in_json_sentence_and_name_are_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info").info("Stored.", fact=LogEvent.SNAPSHOT_STORED)
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["event"]) == ("Stored.", "snapshot_stored")


def documents(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_tasks_and_threads_write_run_and_cluster_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = configure("json", "info")

    async def of_cluster(name: str, run: str) -> None:
        debug_log.CLUSTER.set(name)
        debug_log.RUN.set(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beside)
        await in_thread(lambda: log.info("thread", fact=LogEvent.OTHER))
        await in_thread(lambda: log.info("thread", fact=LogEvent.OTHER), abandon=True)

    async def beside() -> None:
        await anyio.lowlevel.checkpoint()
        log.info("task", fact=LogEvent.OTHER)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(of_cluster, "a", "r1")
        tasks.start_soon(of_cluster, "b", "r2")
    log.info("outside", fact=LogEvent.OTHER)
    found = Counter((one.get("cluster"), one.get("run")) for one in documents(capsys))
    assert found == {("a", "r1"): 3, ("b", "r2"): 3, (None, None): 1}


def test_in_the_journal_each_line_has_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log = configure("text", "debug")
        for level in ("error", "warning", "info", "debug"):
            getattr(log, level)("Said.", fact=LogEvent.OTHER)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        configure("text", "debug").info("Elsewhere.", fact=LogEvent.OTHER)
    lines = (tmp_path / "journal").read_text().splitlines()
    assert [line[:5] for line in lines] == ["<3>20", "<4>20", "<6>20", "<7>20", lines[4][:5]]
    assert lines[4].startswith("20")


def test_a_stream_that_is_none_or_closed_is_no_journal(tmp_path: Path) -> None:
    stream = (tmp_path / "x").open("w")
    stream.close()
    assert not is_journal(None, {"JOURNAL_STREAM": "1:2"})
    assert not is_journal(stream, {"JOURNAL_STREAM": "1:2"})


def test_what_others_would_write_past_the_log_is_one_line_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    class Released:
        def __del__(self) -> None:
            _ = 1 / 0

    configure("json", "info")
    strays.adopt_strays()
    try:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logging.getLogger("asyncio").exception("Task\nfailed")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        Released()
        logging.getLogger("urllib3").debug("not this")
    finally:
        logging.captureWarnings(capture=False)
    task, ended, ignored = documents(capsys)
    assert (task["level"], task["event"]) == ("error", "other")
    assert task["message"].startswith("asyncio: Task failed: unexpected ZeroDivisionError")
    assert ended["message"].startswith("A background thread failed: unexpected ZeroDivisionError")
    assert ": unexpected ZeroDivisionError" in ignored["message"]
    assert (ignored["level"], ignored["event"]) == ("warning", "other")
