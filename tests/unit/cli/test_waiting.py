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


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGHUP, 129),
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGUSR1, 138),
        (signal.SIGUSR2, 140),
        (signal.SIGXCPU, 152),
    ],
)
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


def test_a_closed_terminal_may_say_so_again_while_the_work_cleans_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.sleep_forever()
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cleaned.append(True)

    with pytest.raises(typer.Exit) as ended:
        wait_for(work)

    assert ended.value.exit_code == 129
    assert cleaned


def test_a_second_signal_ends_the_process_whatever_is_left_to_clean_up() -> None:
    handlers: list[object] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()
        finally:
            handlers.extend(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))

    with pytest.raises(typer.Exit):
        wait_for(work)

    assert handlers == [signal.SIG_DFL, signal.SIG_DFL]


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await anyio.lowlevel.checkpoint()
        return "done"

    try:
        assert wait_for(work) == "done"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_that_a_shell_ignores_for_it_ends_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    try:
        with pytest.raises(typer.Exit) as ended:
            wait_for(work)
        assert ended.value.exit_code == 130
    finally:
        signal.signal(signal.SIGINT, before)


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
