"""The event loop serves all clusters, leases and probes: a disk that is slow must not stop it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio
import pytest
from tests.crowd import WELL, Crowd
from tests.unit.core.archives import archive

import raft_snapshot_agent
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.service.daemon import Daemon
from raft_snapshot_agent.service.reloading import FileReloader

SOURCE = str(Path(raft_snapshot_agent.__file__).parent)
DISK = {"open", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.scandir"}
SLOW = DISK | {"fcntl.flock", "socket.connect", "socket.getaddrinfo", "time.sleep"}
"""Audited calls that may block."""
FAST = ("service/runtime_folder.py", "service/status_socket.py", "uptime.py")
"""Their files are in memory: in /run and /proc."""
_blocked: list[str] | None = None


def _audit(event: str, _: object) -> None:
    if _blocked is not None and event in SLOW and asyncio._get_running_loop() is not None:
        where = _callers(sys._getframe(1))
        if where and not where[0].startswith(FAST):
            _blocked.append(f"{event}: {' < '.join(where)}")


def _callers(frame: FrameType | None) -> list[str]:
    """The agent's functions that led to a call, but none for an import."""
    found = []
    while frame is not None:
        code = frame.f_code
        if "importlib" in code.co_filename:
            return []
        if code.co_filename.startswith(SOURCE):
            found.append(f"{code.co_filename.removeprefix(SOURCE)[1:]} {code.co_name}")
        frame = frame.f_back
    return found


@pytest.fixture(scope="module", autouse=True)
def _audited() -> None:
    sys.addaudithook(_audit)  # which cannot be removed


@contextmanager
def watching() -> Iterator[list[str]]:
    """Collect calls that block an event loop."""
    global _blocked  # noqa: PLW0603 - a hook has no other place
    blocked: list[str] = []
    _blocked = blocked
    try:
        yield blocked
    finally:
        _blocked = None


@pytest.mark.anyio
async def test_the_daemon_does_not_wait_for_a_disk(tmp_path: Path) -> None:
    for folder in ("spool", "stored"):
        (tmp_path / folder).mkdir()
    (tmp_path / "token").write_text("s.000000000000000000000000")
    stored = tmp_path / "stored"
    with Crowd(archive(), WELL) as crowd:
        settings = {
            "vault": {
                "address": crowd.addresses[0],
                "auth": {"method": "token", "token": f"file://{tmp_path}/token"},
            },
            "run_on": "anywhere",
            "spool": str(tmp_path / "spool"),
            "schedule": {"every": "1s"},
            "retention": {"last": 1},
            "scrub": {"every": "1s"},
            "lease": {"type": "storage", "storage": "local", "duration": "10s"},
            "storages": [{"type": "local", "path": str(stored)}],
        }
        (tmp_path / "agent.json").write_text(json.dumps(settings))
        active = FileReloader(lambda: load_all(tmp_path / "agent.json", {})).load()
        daemon = Daemon(active)
        with watching() as blocked, anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(daemon.run)
                seen: set[str] = set()
                while len(seen) < 3:
                    await anyio.sleep(0.05)
                    seen |= {one.name for one in stored.glob("*.snap")}
                tasks.cancel_scope.cancel()
    assert not blocked
