from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.errors import NotLeader, ServerError, StorageError
from raft_snapshot_agent.observe.systemd import SystemdNotifier, summary

NOON = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """What listens where NOTIFY_SOCKET says."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.settimeout(5)
        yield listening


@pytest.fixture
def notifier(systemd: socket.socket) -> SystemdNotifier:
    name = systemd.getsockname()
    text = name if isinstance(name, str) else "@" + name[1:].decode()
    return SystemdNotifier({"NOTIFY_SOCKET": text, "WATCHDOG_USEC": "3000000"})


@pytest.mark.parametrize(
    ("tell", "told"),
    [
        (lambda one: one.ready("Next snapshot\nsoon."), b"READY=1\nSTATUS=Next snapshot soon."),
        (lambda one: one.status("Works."), b"STATUS=Works."),
        (lambda one: one.about("berlin").status("Works."), b"STATUS=berlin: Works."),
        (lambda one: one.about("").status("Works."), b"STATUS=Works."),
        (lambda one: one.stopping(), b"STOPPING=1"),
        (lambda one: one.alive(), b"WATCHDOG=1"),
    ],
)
def test_what_systemd_hears(
    notifier: SystemdNotifier,
    systemd: socket.socket,
    tell: Callable[[SystemdNotifier], None],
    told: bytes,
) -> None:
    tell(notifier)

    assert systemd.recv(1000) == told


def test_a_reload_tells_its_moment(notifier: SystemdNotifier, systemd: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading()

    first, second = systemd.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("environ", "heartbeat"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "nonsense"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(
    environ: dict[str, str], heartbeat: int | None
) -> None:
    expected = None if heartbeat is None else timedelta(seconds=heartbeat)

    assert SystemdNotifier(environ).heartbeat == expected


@pytest.mark.parametrize("address", ["", "nonsense", "/there/is/no/socket", "@nobody-listens"])
def test_without_systemd_nothing_happens(address: str) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": address}).ready("Works.")


def test_the_last_run_in_a_line() -> None:
    def after(*deliveries: Delivery, **more: object) -> str:
        return summary(Report("id", NOON, NOON, deliveries=deliveries, **more))  # type: ignore[arg-type]

    good, bad = Delivery("disk", "local"), Delivery("s3", "aws", error=StorageError("no"))
    assert after(good) == "Last snapshot at 2026-11-23 15:30:00 UTC to disk."
    assert after(good, bad) == "Last snapshot did not reach s3; see the log."
    assert after(error=NotLeader("no")) == "Standing by: this node does not lead."
    assert after(error=ServerError("no")) == "The last snapshot failed; see the log."
