"""What the daemon does in the background starts again after a failure, and ends nothing else."""

from __future__ import annotations

import errno
import os
import re

import anyio
import pytest
from anyio import CancelScope

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.service import lasting
from raft_snapshot_agent.service.lasting import keep_running


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "_PAUSE", 0.01)


async def test_a_task_that_fails_starts_again_and_its_failure_is_logged_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("text", "info")
    failures: list[Exception] = [
        *[OSError(errno.EMFILE, os.strerror(errno.EMFILE))] * 3,
        ExceptionGroup("several", [RuntimeError("can't start new thread"), ValueError()]),
        *[ConfigError("no port")] * 2,
    ]

    async def work() -> None:
        await anyio.lowlevel.checkpoint()
        if failures:
            raise failures.pop(0)

    with anyio.fail_after(60):
        await keep_running(work)
    lines = capsys.readouterr().err.splitlines()
    assert [re.findall(r" s: (.*?)(?: \(|  )", line) for line in lines] == [
        ["too many files are open"],
        ["no further thread can be started"],
        ["no port"],
    ]
    assert "bug" not in "".join(lines)


async def test_a_task_ends_with_its_scope() -> None:
    scope = CancelScope()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_running, anyio.sleep_forever, scope)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
