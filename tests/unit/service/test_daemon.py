"""The daemon: which configuration is in force."""

from __future__ import annotations

import os
import signal
import threading

import anyio
import pytest

from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.systemd import Notifier
from raft_snapshot_agent.service import daemon
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon

pytestmark = pytest.mark.anyio


class File:
    """A configuration file that is read slowly the first time."""

    def __init__(self) -> None:
        self.version = self.read = 0
        self.slow, self.go_on = threading.Event(), threading.Event()

    def changed(self) -> bool:
        return self.read != self.version

    def load(self) -> ActiveConfig:
        self.read = version = self.version
        if not self.slow.is_set():
            self.slow.set()
            self.go_on.wait(60)
        return ActiveConfig({}, configure("text", "info"), {}, f"version {version}")


class Reader:
    """What the daemon publishes."""

    board: StatusBoard

    async def run(self, board: StatusBoard) -> None:
        self.board = board


async def test_of_two_changes_at_once_the_last_is_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon, "_LOOK_EVERY", 0.01)
    file = File()
    reader = Reader()
    one = Daemon(
        ActiveConfig({}, configure("text", "info")),
        file,
        notifier=Notifier({}),
        companions=[reader],
    )
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            file.version = 1
            await anyio.to_thread.run_sync(file.slow.wait)
            file.version = 2
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.sleep(0.2)
            file.go_on.set()
            while file.changed():  # noqa: ASYNC110 - a thread reads it
                await anyio.sleep(0.01)
            await anyio.sleep(0.2)
            os.kill(os.getpid(), signal.SIGTERM)
    assert reader.board.read().config_source == "version 2"


async def test_a_reload_that_takes_long_delays_no_stop() -> None:
    file = File()
    one = Daemon(ActiveConfig({}, configure("text", "info")), file, notifier=Notifier({}))
    try:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.run)
                await anyio.sleep(0.2)
                os.kill(os.getpid(), signal.SIGHUP)
                await anyio.to_thread.run_sync(file.slow.wait)
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        file.go_on.set()
