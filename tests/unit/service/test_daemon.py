"""The daemon: which configuration is in force."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.unit.service.test_cluster_loop import Agent

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.early_signals import OBEYED, catch_early_signals, take_early_signals
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service import daemon
from raft_snapshot_agent.service.active_cluster import ActiveCluster
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
        notifier=SystemdNotifier({}),
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
    one = Daemon(ActiveConfig({}, configure("text", "info")), file, notifier=SystemdNotifier({}))
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


async def test_it_has_run_no_longer_because_the_clock_was_set() -> None:
    reader, ahead = Reader(), timedelta(0)
    one = Daemon(
        ActiveConfig({}, configure("text", "info")),
        notifier=SystemdNotifier({}),
        companions=[reader],
        clock=lambda: datetime.now(UTC) + ahead,
    )
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            while not hasattr(reader, "board"):  # noqa: ASYNC110 - it is no event
                await anyio.sleep(0.01)
            ahead = timedelta(days=3650)
            told = reader.board.read()
            os.kill(os.getpid(), signal.SIGTERM)
    assert timedelta(0) <= told.at - told.started_at < timedelta(minutes=1)


class Leaving(Agent):
    """Takes its time to leave, whatever cancels it."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves, self.may_leave = anyio.Event(), anyio.Event()

    async def leave(self) -> None:
        with anyio.CancelScope(shield=True):
            self.leaves.set()
            await self.may_leave.wait()


def one_cluster(agent: Any) -> Daemon:
    log = configure("text", "info")
    service = ActiveCluster(agent, ScheduleSpec(Every(timedelta(hours=1))), log)
    return Daemon(ActiveConfig({"": service}, log), notifier=SystemdNotifier({}))


async def test_no_signal_ends_the_end_before_it_has_cleaned_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = Leaving()
    caught = {one: signal.getsignal(one) for one in OBEYED}
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_cluster(agent).run)
            while not agent.served:  # noqa: ASYNC110 - it is no event
                await anyio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await agent.leaves.wait()
            for one in OBEYED:
                os.kill(os.getpid(), one)
            await anyio.sleep(0.1)
            agent.may_leave.set()
    assert capsys.readouterr().err.count("Received SIG") == 1
    assert {one: signal.getsignal(one) for one in OBEYED} == caught


async def test_signals_that_came_before_it_are_obeyed(
    early: None, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = Agent()
    now = datetime.now(UTC)
    agent.held = {name: [now] for name in agent.held}
    os.kill(os.getpid(), signal.SIGUSR1)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_cluster(agent).run)
            while not agent.served:  # noqa: ASYNC110 - it is no event
                await anyio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
    assert "Received SIGUSR1, taking a snapshot now." in capsys.readouterr().err


@pytest.fixture
def early() -> Iterator[None]:
    caught = {one: signal.getsignal(one) for one in OBEYED}
    catch_early_signals()
    yield
    for one, handler in caught.items():
        signal.signal(one, handler)
    take_early_signals()
