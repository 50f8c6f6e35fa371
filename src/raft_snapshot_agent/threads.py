"""Run blocking work in threads, outside the event loop."""

from __future__ import annotations

import asyncio
import inspect
import math
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TypeVar

from anyio import CapacityLimiter, WouldBlock, move_on_after, to_thread
from anyio.lowlevel import RunVar

from raft_snapshot_agent.host_limits import causes
from raft_snapshot_agent.network.deadline import Deadline, enter

_T = TypeVar("_T")

# Readers of a spool wait in threads for its writer. With the default limit many readers
# could use all threads, so that the writer they wait for cannot start.
_UNLIMITED = CapacityLimiter(math.inf)

_GOES_ON = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
MOST_NEW = 32
"""Maximum threads that start at the same time. Thousands, one for each cluster, would delay each
other and the event loop, and each uses memory."""
_NEW_FOR = 0.1
"""Seconds after which a thread no longer counts as new: it probably waits, perhaps for others."""
_new: RunVar[CapacityLimiter] = RunVar("_new")
MANY_ROWS = 1000
"""Minimum rows for a thread: fewer take less time than starting one."""


async def in_thread(
    work: Callable[[], _T],
    *,
    abandon: bool = False,
    discard: Callable[[_T], object] | None = None,
    patience: float = 0.0,
) -> _T:
    """Run `work` in a thread and wait for it; the thread may start later if many start now.

    Arguments:
        work: A function without arguments; use a lambda or `functools.partial`.
        abandon: On cancellation return at once, while `work` still runs, and let the process
            end. Only for work that is harmless without a waiting caller. Its connections are
            closed, so that it ends soon.
        discard: Releases the result if the caller was cancelled, such as an open file. It is
            called in any thread.
        patience: Most seconds that a cancelled caller waits until that is done, because the process
            may end next.
    """
    with await _take_turn():
        if abandon:
            return await _in_daemon_thread(work, discard, patience)
        return await to_thread.run_sync(work, limiter=_UNLIMITED)


async def beside_loop(work: Callable[[], _T], rows: int) -> _T:
    """Run pure `work` over `rows` rows: in a thread if it would block the event loop.

    On cancellation it returns at once; the work runs to its end and its result is discarded.
    """
    return work() if rows < MANY_ROWS else await in_thread(work, abandon=True)


class _Turn:
    """Counts a thread as new until it ends or takes longer than most."""

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
    """Wait until one more thread may start; without a wait, a cancellation has no effect here."""
    limiter = _new.get(None)
    if limiter is None:
        _new.set(limiter := CapacityLimiter(MOST_NEW))
    borrower = object()
    try:
        limiter.acquire_on_behalf_of_nowait(borrower)
    except WouldBlock:
        await limiter.acquire_on_behalf_of(borrower)
    return _Turn(limiter, borrower)


async def _in_daemon_thread(
    work: Callable[[], _T], discard: Callable[[_T], object] | None, patience: float
) -> _T:
    # At exit the interpreter waits without a limit for the threads of anyio.
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()
    deadline, context = Deadline(), copy_context()

    def run() -> None:
        try:
            with enter(deadline):
                result = work()
            future.set_result(result)
        except BaseException as error:  # noqa: BLE001 - the caller handles it
            _release_locals(error)
            future.set_exception(error)

    Thread(target=context.run, args=(run,), daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        # Later, so that the failure this causes does not replace the reason of the cancellation.
        asyncio.get_running_loop().call_soon(deadline.cut)
        if discard is not None:
            future.add_done_callback(partial(_discard, discard))
        if patience:
            with move_on_after(patience, shield=True), suppress(Exception):
                await asyncio.wrap_future(future)  # which ends after what discards
        raise


def _discard(discard: Callable[[_T], object], ended: Future[_T]) -> None:
    if ended.exception() is None:
        discard(ended.result())


def _release_locals(error: BaseException) -> None:
    """Release the failed work's local variables, such as a partial list: its error may be kept.

    The error may come from coroutines or generators that still run; clearing their frames would
    end them, so these are skipped.
    """
    for one in causes(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if not frame.f_code.co_flags & _GOES_ON:
                with suppress(RuntimeError):  # the frame is still running
                    frame.clear()
