"""Run a command's asynchronous work, and clean up when a signal arrives."""

from __future__ import annotations

import gc
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import typer
from anyio import CancelScope
from anyio.abc import TaskStatus

from raft_snapshot_agent.network.idle import keep_closing_idle

_T = TypeVar("_T")
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


def wait_for(work: Callable[[], Awaitable[_T]]) -> _T:
    """Run `work` to its end; on SIGINT or SIGTERM cancel it, clean up, and exit 130 or 143.

    Raises:
        typer.Exit: A signal arrived.
    """
    allow_collections()
    try:
        return anyio.run(_guard, work)
    except ExceptionGroup as group:
        raise _first(group) from group


async def _guard(work: Callable[[], Awaitable[_T]]) -> _T:
    received: list[int] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(_cancel_on_signal, tasks.cancel_scope, received)
        tasks.start_soon(keep_closing_idle)
        try:
            return await work()
        finally:
            tasks.cancel_scope.cancel()
    raise typer.Exit(128 + received[0])


async def _cancel_on_signal(
    scope: CancelScope, received: list[int], *, task_status: TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            received.append(number)
            scope.cancel()
            return


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
