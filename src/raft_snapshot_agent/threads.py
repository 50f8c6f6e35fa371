"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import inspect
import math
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from raft_snapshot_agent.network.deadline import Deadline, enter

_T = TypeVar("_T")

# Followers of a spool wait in their threads; with the default limit enough of them would keep
# the very thread from starting that they wait for.
_UNLIMITED = CapacityLimiter(math.inf)

_GOES_ON = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
MANY_ROWS = 1000
"""Fewer take less time than starting a thread for them and waiting for it."""


async def in_thread(work: Callable[[], _T], *, abandon: bool = False) -> _T:
    """Run `work` in a thread and wait for it.

    Arguments:
        work: Takes no argument; use a lambda or `functools.partial`.
        abandon: Let a cancelled caller go on while `work` still runs, and the process end; only
            for work that is harmless when nobody waits for it any more. Its connections are
            cut off, so that it ends soon.
    """
    if abandon:
        return await _in_daemon_thread(work)
    return await to_thread.run_sync(work, limiter=_UNLIMITED)


async def beside_loop(work: Callable[[], _T], rows: int) -> _T:
    """Run pure `work` over so many rows: in a thread where it would hold up the event loop.

    Nothing waits for it that is cancelled; the work goes on to its end and is forgotten.
    """
    return work() if rows < MANY_ROWS else await in_thread(work, abandon=True)


async def _in_daemon_thread(work: Callable[[], _T]) -> _T:
    # The interpreter waits at its end for anyio's own threads, however long they take.
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()
    deadline, context = Deadline(), copy_context()

    def run() -> None:
        try:
            with enter(deadline):
                result = work()
            future.set_result(result)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            _let_go(error)
            future.set_exception(error)

    Thread(target=context.run, args=(run,), daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        # Only then, for its failure must not come before the reason it was given up for.
        asyncio.get_running_loop().call_soon(deadline.cut)
        raise


def _let_go(error: BaseException) -> None:
    """Release what the failed work had in memory, such as half a list: its error may be kept.

    It may be an error that others have raised before. Their coroutines and generators may go on,
    and would end if their frames were cleared.
    """
    for one in _chain(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if not frame.f_code.co_flags & _GOES_ON:
                with suppress(RuntimeError):  # it runs
                    frame.clear()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
