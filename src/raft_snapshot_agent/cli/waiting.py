"""Run a command's asynchronous work, and clean up when a signal arrives."""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import typer
from anyio import CancelScope

from raft_snapshot_agent.network.idle import keep_closing_idle

_T = TypeVar("_T")
# Not SIGQUIT: whoever sends it wants the process to end at once, and to see what it leaves.
_ENDING = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
_OFTEN = 5_000
"""New objects that start a collection: about as many as one page of a list creates and drops."""


def allow_collections(after: int = _OFTEN) -> None:
    """Let garbage be collected after the start: errors of failed work may hold much memory.

    Objects created so far are frozen: they stay, and no collection needs to visit them.

    Arguments:
        after: Number of new objects that starts a collection.
    """
    gc.freeze()
    gc.set_threshold(after, 10, 10)


def list_ending_signals() -> list[signal.Signals]:
    """List the signals that end a command; not those ignored at its start, as SIGHUP by nohup.

    SIGINT always does: a shell without job control ignores it for what it runs in the background,
    where a supervisor may still send it.
    """
    kept = {signal.SIG_DFL, signal.default_int_handler}
    return [one for one in _ENDING if one == signal.SIGINT or signal.getsignal(one) in kept]


def wait_for(work: Callable[[], Awaitable[_T]]) -> _T:
    """Run `work` to its end; on a signal that ends it, cancel it and clean up.

    Raises:
        typer.Exit: A signal arrived; the exit code is 128 plus its number.
    """
    allow_collections()
    ending = list_ending_signals()  # now, as the event loop has a handler of its own for SIGINT
    try:
        return anyio.run(_guard, work, ending)
    except ExceptionGroup as group:
        raise _first(group) from group


async def _guard(work: Callable[[], Awaitable[_T]], ending: Sequence[signal.Signals]) -> _T:
    received: list[int] = []
    with anyio.open_signal_receiver(*ending) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_signal, signals, ending, tasks.cancel_scope, received)
            tasks.start_soon(keep_closing_idle)
            try:
                return await work()
            finally:
                tasks.cancel_scope.cancel()
    raise typer.Exit(128 + received[0])


async def _cancel_on_signal(
    signals: AsyncIterator[int],
    ending: Sequence[signal.Signals],
    scope: CancelScope,
    received: list[int],
) -> None:
    """Cancel at the first signal; let a second SIGINT or SIGTERM end the process at once.

    Others do not ask for that: of a closed terminal, both the kernel and the shell send SIGHUP.
    """
    async for number in signals:
        received.append(number)
        for again in {*ending} & {signal.SIGINT, signal.SIGTERM}:
            signal.signal(again, signal.SIG_DFL)
        scope.cancel()
        return


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
