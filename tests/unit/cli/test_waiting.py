from __future__ import annotations

import gc
import os
import signal
import weakref

import anyio
import anyio.lowlevel
import pytest
import typer

from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.errors import StorageDenied
from raft_snapshot_agent.network import idle


def test_what_the_work_returns_is_returned() -> None:
    async def work() -> int:
        await anyio.lowlevel.checkpoint()
        return 4711

    assert wait_for(work) == 4711


def test_what_the_work_raises_comes_out_of_its_wrappings() -> None:
    async def fail() -> None:
        raise StorageDenied("no entry")

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)

    with pytest.raises(StorageDenied, match="no entry"):
        wait_for(work)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_work_which_may_clean_up(number: int, code: int) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
        finally:
            cleaned.append(number)

    with pytest.raises(typer.Exit) as ended:
        wait_for(work)

    assert ended.value.exit_code == code
    assert cleaned == [number]


def test_a_signal_does_not_undo_what_was_done() -> None:
    async def work() -> str:
        return "done"

    assert wait_for(work) == "done"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class Pool:
    closed = False

    def clear(self) -> None:
        self.closed = True


def test_unused_connections_are_closed_while_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_IDLE", 0.05)
    pool = Pool()

    async def work() -> None:
        idle.note_use(pool)
        with anyio.fail_after(60):
            while not pool.closed:  # noqa: ASYNC110 - another task changes it
                await anyio.sleep(0.01)

    wait_for(work)


class Circle:
    """Holds itself, as an error holds the frames that hold it."""

    itself: Circle


def test_garbage_is_looked_for_while_work_is_done() -> None:
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)  # as at the start of the program

    async def work() -> bool:
        circle = Circle()
        circle.itself = circle
        lives = weakref.ref(circle)
        del circle
        await anyio.lowlevel.checkpoint()
        more: list[list[int]] = [[] for _ in range(10_000)]
        return len(more) == 10_000 and lives() is None

    try:
        assert wait_for(work)
    finally:
        gc.set_threshold(*before)
