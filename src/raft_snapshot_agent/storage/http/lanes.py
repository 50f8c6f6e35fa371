"""Runs several requests concurrently for one thread; cancelling the thread cancels them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from threading import Event, Semaphore, Thread

from raft_snapshot_agent.network.deadline import Deadline, current, enter

_LOOK = 0.25
"""Seconds between checks whether to stop."""


class Lanes:
    """Runs a limited number of concurrent tasks; the first failure ends all."""

    def __init__(self, width: int, stop: Event) -> None:
        """Start without tasks.

        Arguments:
            width: Most concurrent tasks.
            stop: Set to end all tasks, which check it themselves.
        """
        self._stop = stop
        self._free = Semaphore(width)
        self._running: dict[Thread, Deadline] = {}
        self._error: BaseException | None = None

    def sockets(self) -> Iterator[object]:
        for deadline in tuple(self._running.values()):
            yield from deadline.sockets()

    def wait(self) -> None:
        """Wait until another task may start.

        Raises:
            BaseException: A task failed with it.
        """
        while not self._free.acquire(timeout=_LOOK):
            self._check()
        self._check()

    def begin(self, work: Callable[[], None]) -> None:
        """Start a task in another thread; call `wait` first."""
        if (outer := current()) is not None:
            outer.watch(self)
        thread = Thread(target=copy_context().run, args=(self._run, work), daemon=True)
        self._running[thread] = Deadline()
        thread.start()

    def finish(self) -> None:
        """Wait for all tasks.

        Raises:
            BaseException: A task failed with it.
        """
        for thread in tuple(self._running):
            while thread.is_alive():
                thread.join(_LOOK)
                self._check()
        self._check()

    def close(self) -> None:
        """Cancel the remaining tasks and wait for their end."""
        for thread, deadline in tuple(self._running.items()):
            while thread.is_alive():
                deadline.cut()
                thread.join(_LOOK)
        self._running.clear()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        for thread in [one for one in self._running if not one.is_alive()]:
            del self._running[thread]

    def _run(self, work: Callable[[], None]) -> None:
        import threading

        try:
            with enter(self._running[threading.current_thread()]):
                work()
        except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
            self._error = self._error or error
        finally:
            self._free.release()
