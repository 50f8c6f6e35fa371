"""The socket for `status`: describing many clusters holds nobody up, and who never reads neither."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.service import lasting, status_socket
from raft_snapshot_agent.service.lasting import keep_running
from raft_snapshot_agent.service.runtime_folder import socket_name
from raft_snapshot_agent.service.status_socket import StatusSocket

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder() -> Any:
    made = Path(f"/tmp/raft-socket-{os.getpid()}")  # a socket's path may not be long
    made.mkdir(mode=0o700)
    yield made
    for left in made.iterdir():
        left.unlink()
    made.rmdir()


def board(text: str = "") -> StatusBoard:
    now = datetime.now(UTC)
    return StatusBoard(AgentStatus("1", now, now, (ClusterStatus("prod", disabled=text),)))


async def ask(path: Path) -> Any:
    async with await anyio.connect_unix(path) as stream:
        text = b""
        while True:
            try:
                text += await stream.receive()
            except anyio.EndOfStream:
                return json.loads(text)


def answers(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


async def served(folder: Path, work: Any, text: str = "") -> Any:
    """Serve while something is done, and return what came of it."""
    path = folder / socket_name(None)
    serving = StatusSocket(None, {"RUNTIME_DIRECTORY": str(folder)}, configure("text", "info"))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_running, partial(serving.run, board(text)))
            while not answers(path):  # noqa: ASYNC110 - it is there before anybody listens
                await anyio.sleep(0.01)
            found = await work(path)
            tasks.cancel_scope.cancel()
    assert not path.exists()
    return found


async def test_it_is_made_beside_the_loop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noted(status: AgentStatus) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return document(status)

    monkeypatch.setattr("raft_snapshot_agent.service.status_socket.document", noted)
    found = await served(folder, ask)
    assert found["clusters"][0]["cluster"] == "prod"
    assert threads
    assert threading.get_ident() not in threads


async def test_only_its_user_may_ask_and_no_secret_is_told(folder: Path) -> None:
    remember("a-secret-that-was-used")

    async def look(path: Path) -> Any:
        assert (await anyio.Path(path).stat()).st_mode & 0o777 == 0o600
        return await ask(path)

    found = await served(folder, look, 'x"a-secret-that-was-used"\\')
    assert "a-secret-that-was-used" not in json.dumps(found)


async def test_who_never_reads_keeps_nobody_from_asking(folder: Path) -> None:
    async def crowd(path: Path) -> Any:
        stuck = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for one in stuck:
            one.connect(str(path))
        try:
            return await ask(path)
        finally:
            for one in stuck:
                one.close()

    found = await served(folder, crowd, "x" * 500_000)
    assert found["clusters"][0]["disabled"]


async def listening(path: Path) -> None:
    with anyio.fail_after(60):
        while not answers(path):  # noqa: ASYNC110 - another task makes it
            await anyio.sleep(0.01)


async def test_it_is_made_again_where_it_was_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As by a program that tidies up, or by the end of a user's session, folder and all."""
    monkeypatch.setattr(status_socket, "_LOOK_EVERY", 0.01)
    inside = folder / "gone" / "folder"
    inside.mkdir(mode=0o700, parents=True)
    path = inside / socket_name(None)
    serving = StatusSocket(None, {"RUNTIME_DIRECTORY": str(inside)}, configure("text", "info"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving.run, board())
        await listening(path)
        # anyio fails where a connection comes in the moment in which it stops to accept them.
        await ask(path)
        path.unlink()
        await listening(path)
        await ask(path)
        shutil.rmtree(folder / "gone")
        told = ""
        with anyio.fail_after(60):
            while "Cannot open the socket" not in told:
                await anyio.sleep(0.01)
                told += capsys.readouterr().err
        await anyio.sleep(0.1)  # it is told once, however often it is tried
        inside.parent.mkdir()
        await listening(path)
        assert (await ask(path))["clusters"]
        tasks.cancel_scope.cancel()
    shutil.rmtree(folder / "gone")
    assert (told + capsys.readouterr().err).count("Cannot open the socket") == 1


async def test_a_host_that_was_short_of_files_costs_nobody_the_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, refused = anyio.create_unix_listener, [OSError(errno.EMFILE, "Too many open files")]

    async def open_listener(*path: Any, **how: Any) -> Any:
        if refused:
            raise refused.pop()
        return await listen(*path, **how)

    monkeypatch.setattr(anyio, "create_unix_listener", open_listener)
    monkeypatch.setattr(lasting, "_PAUSE", 0.01)
    assert (await served(folder, ask))["clusters"][0]["cluster"] == "prod"
    assert not refused
