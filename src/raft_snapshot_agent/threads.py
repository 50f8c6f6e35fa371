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

from anyio import CapacityLimiter, WouldBlock, to_thread
from anyio.lowlevel import RunVar

from raft_snapshot_agent.network.deadline import Deadline, enter

_T = TypeVar("_T")

# Followers of a spool wait in their threads; with the default limit enough of them would keep
# the very thread from starting that they wait for.
_UNLIMITED = CapacityLimiter(math.inf)

_GOES_ON = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
MOST_NEW = 32
"""Threads that begin at once: thousands of them, one for each cluster, would share one interpreter,
and the event loop with them, and each keeps its memory."""
_NEW_FOR = 0.1
"""Seconds after which a thread no longer counts: it waits for something, perhaps for others."""
_new: RunVar[CapacityLimiter] = RunVar("_new")
MANY_ROWS = 1000
"""Fewer take less time than starting a thread for them and waiting for it."""


async def in_thread(work: Callable[[], _T], *, abandon: bool = False) -> _T:
    """Run `work` in a thread and wait for it; the thread may have to wait for its turn to begin.

    Arguments:
        work: Takes no argument; use a lambda or `functools.partial`.
        abandon: Let a cancelled caller go on while `work` still runs, and the process end; only
            for work that is harmless when nobody waits for it any more. Its connections are
            cut off, so that it ends soon.
    """
    with await _take_turn():
        if abandon:
            return await _in_daemon_thread(work)
        return await to_thread.run_sync(work, limiter=_UNLIMITED)


async def beside_loop(work: Callable[[], _T], rows: int) -> _T:
    """Run pure `work` over so many rows: in a thread where it would hold up the event loop.

    Nothing waits for it that is cancelled; the work goes on to its end and is forgotten.
    """
    return work() if rows < MANY_ROWS else await in_thread(work, abandon=True)


class _Turn:
    """Counts a thread as new until it ends, or has turned out to take longer."""

    def __init__(self, limiter: CapacityLimiter, borrower: object) -> None:
        self._limiter, self._borrower = limiter, borrower
        self._timer = asyncio.get_running_loop().call_later(_NEW_FOR, self._grow_old)
        self._new = True

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._grow_old()

    def _grow_old(self) -> None:
        if self._new:
            self._new = False
            self._limiter.release_on_behalf_of(self._borrower)


async def _take_turn() -> _Turn:
    """Wait until one more thread may begin; where it may at once, whoever is cancelled."""
    limiter = _new.get(None)
    if limiter is None:
        _new.set(limiter := CapacityLimiter(MOST_NEW))
    borrower = object()
    try:
        limiter.acquire_on_behalf_of_nowait(borrower)
    except WouldBlock:
        await limiter.acquire_on_behalf_of(borrower)
    return _Turn(limiter, borrower)


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
