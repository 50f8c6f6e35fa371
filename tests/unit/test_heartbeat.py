"""The watchdog is fed while the work goes on, and not by a run that stands still."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.observe.debug_log import log_request
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.progress import PROGRESS, Progress
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon

EVERY = datetime(2026, 1, 2, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC)


class Standing:
    """An agent whose run never ends; it may go on, or wait for its turn."""

    lease = None
    destinations: tuple[Any, ...] = ()
    surveys: Mapping[str, Any] = {}
    received = 0
    private: frozenset[str] = frozenset()

    def __init__(self, does: Any) -> None:
        self._does = does
        self.cluster = self
        self.session = self
        self.taken_at: list[datetime] = []

    def seconds_to_renewal(self) -> float:
        return 3600

    def seconds_to_end(self) -> float:
        return 3600

    def keep_token(self) -> None: ...

    is_login_check_due = False
    left_behind: tuple[str, ...] = ()

    async def sweep(self) -> dict[str, str]:
        return {}

    async def list_taken(self) -> dict[str, list[datetime]]:
        return {}

    async def leave(self) -> None: ...

    async def run_once(self, _names: object = None, **_: object) -> Report:
        await self._does()
        raise AssertionError


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


async def stands_still() -> None:
    await anyio.sleep_forever()


async def goes_on() -> None:
    while True:
        with log_request("GET", "http://a"):
            await anyio.sleep(0.02)


async def waits_for_its_turn() -> None:
    limiter = ConcurrencyLimiter(1)
    async with limiter.permit(), limiter.permit():
        pass


async def beats(does: Any, systemd: socket.socket, path: Path) -> tuple[bool, bool]:
    """Run a daemon; return whether the watchdog is fed early on, and later."""
    environ = {"NOTIFY_SOCKET": str(path / "notify"), "WATCHDOG_USEC": "150000"}
    agent: Any = Standing(does)
    agent.destinations = (Destination("a", MemoryStorage()),)
    log = configure("text", "info")
    service = ActiveCluster(agent, ScheduleSpec(Every(EVERY)), log, patience=1.0)
    daemon = Daemon(ActiveConfig({"": service}, log), notifier=SystemdNotifier(environ))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon._feed_watchdog)
        daemon._assign(daemon._active, tasks)
        daemon.take_now("")
        await anyio.sleep(0.2)
        early = fed(systemd)
        await anyio.sleep(1.8)
        fed(systemd)
        await anyio.sleep(0.3)
        late = fed(systemd)
        tasks.cancel_scope.cancel()
    return early, late


def fed(systemd: socket.socket) -> bool:
    found = False
    while True:
        try:
            found |= b"WATCHDOG=1" in systemd.recv(4096)
        except BlockingIOError:
            return found


@pytest.mark.parametrize(
    ("does", "late"), [(stands_still, False), (goes_on, True), (waits_for_its_turn, True)]
)
async def test_only_progress_feeds_the_watchdog(
    does: Any, late: bool, systemd: socket.socket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await beats(does, systemd, tmp_path) == (True, late)
    assert ("made no progress" in capfd.readouterr().err) is not late


def test_progress_is_noted_where_work_is_done() -> None:
    progress = Progress()
    token = PROGRESS.set(progress)
    try:
        time.sleep(0.05)
        assert progress.idle >= 0.05
        began = time.monotonic()
        with log_request("put", "a"):
            assert progress.idle <= time.monotonic() - began
    finally:
        PROGRESS.reset(token)
