"""Deadlines of work in threads: connections are shut down when the deadline has passed.

Socket time-outs limit only the pause between two bytes: a server that sends single bytes in time
could hold a call forever. So each call has a deadline for all of it, at which its connection is
shut down. The same mechanism ends work that has been cancelled.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

_LOOK = 0.25
"""Seconds between checks whether the deadline was changed."""
_AGAIN = 0.05
"""Seconds after which the connections of a call that has not ended are shut down again, because
it may have opened a new one at that moment."""

_Piece = TypeVar("_Piece")


class Connection(Protocol):
    """A connection that can be shut down."""

    def sockets(self) -> Iterator[object]:
        """List the open sockets; none while not connected."""


class Passed(Exception):
    """The deadline passed before the next connection was used."""


class Deadline:
    """The time by which work must end; nested work ends no later."""

    def __init__(self, seconds: float = math.inf, outer: Deadline | None = None) -> None:
        """Start the deadline.

        Arguments:
            seconds: Time from now.
            outer: The enclosing deadline.
        """
        self._until = time.monotonic() + seconds
        self._outer = outer
        self._over = False
        self._connection: Connection | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        if self._over:
            return 0.0
        own = max(self._until - time.monotonic(), 0.0)
        return own if self._outer is None else min(own, self._outer.left)

    def belong_to(self, outer: Deadline | None) -> None:
        """Set the enclosing deadline, which this one cannot exceed."""
        self._outer = outer

    def grant(self, seconds: float) -> None:
        """Extend the deadline by a number of seconds, for progress that was made."""
        self._until += seconds

    def renew(self, seconds: float) -> None:
        """Restart the deadline from now."""
        self._until = time.monotonic() + seconds

    def watch(self, connection: Connection) -> None:
        """Register a connection to be shut down at the deadline.

        Raises:
            Passed: The deadline has passed.
        """
        self._connection = connection
        if self._outer is not None:
            self._outer.watch(connection)
        if not self.left:
            raise Passed

    def sockets(self) -> Iterator[object]:
        """List the sockets in use, so that an enclosing deadline can shut them down."""
        if self._connection is not None:
            yield from self._connection.sockets()

    def forget(self) -> None:
        """Unregister the connection, which other work may use from now on."""
        self._connection = None
        if self._outer is not None:
            self._outer.forget()

    def cut(self) -> None:
        """End the work now; callable from any thread."""
        self._over = True
        self.interrupt()

    def interrupt(self) -> None:
        """Shut down the present connection; callable from any thread. Work may open another."""
        for one in self.sockets():
            _shut(one)


_HERE = threading.local()


def current() -> Deadline | None:
    """Return the deadline of this thread's present work."""
    found: Deadline | None = getattr(_HERE, "deadline", None)
    return found


@contextmanager
def enter(deadline: Deadline) -> Iterator[Deadline]:
    """Set the deadline of this thread; it is checked only when a connection is used."""
    before = current()
    _HERE.deadline = deadline
    try:
        yield deadline
    finally:
        _HERE.deadline = before
        deadline.forget()


@contextmanager
def within_thread(deadline: Deadline) -> Iterator[Deadline]:
    """Set a deadline that other threads share, enclosed by that of this thread."""
    deadline.belong_to(current())
    with enter(deadline):
        yield deadline


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """Limit all calls in this block of this thread to a total number of seconds."""
    with enter(Deadline(seconds, current())) as deadline:
        yield deadline


class Watchdog:
    """Shuts down the connections of calls whose deadline has passed, in one thread for all calls.

    A thread for each call would take longer than many calls do, and memory for each that waits.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Deadline] = set()
        self._running = False
        self._asleep = False
        """Whether the thread waits until it is told of a deadline."""

    @contextmanager
    def watch(self, deadline: Deadline) -> Iterator[None]:
        """Shut down the connection of this block at the deadline, and never after the block."""
        with self._changed:
            self._start()
            self._watched.add(deadline)
            if self._asleep or deadline.left < _LOOK:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._watched.remove(deadline)

    def _start(self) -> None:
        if not self._running:
            threading.Thread(target=self._look, name="watchdog", daemon=True).start()
            self._running = True

    def _look(self) -> None:
        with self._changed:
            while True:
                self._asleep = not self._watched
                self._changed.wait(self._pause())
                for deadline in self._watched.copy():
                    if not deadline.left:
                        with suppress(Exception):  # all other calls rely on this thread
                            deadline.interrupt()

    def _pause(self) -> float | None:
        if not self._watched:
            return None
        return min(_LOOK, *(one.left for one in self._watched.copy())) or _AGAIN


_WATCHDOG = Watchdog()


@contextmanager
def enforce(seconds: float = math.inf) -> Iterator[Deadline]:
    """Limit one call to a number of seconds; then shut its connection down."""
    with within(seconds) as deadline, _WATCHDOG.watch(deadline):
        yield deadline


def stepwise(pieces: Iterable[_Piece], seconds: float) -> Iterator[_Piece]:
    """Limit the sending of each piece of a body; waiting for the next piece does not count.

    The time left after the last piece is for the answer.
    """
    steps = iter(pieces)
    while True:
        deadline = current()
        if deadline is not None:
            deadline.renew(math.inf)
        piece = next(steps, None)
        if deadline is not None:
            deadline.renew(seconds)
        if piece is None:
            return
        yield piece


def _shut(one: object) -> None:
    # `SSLSocket.shutdown` would remove the encryption while another thread still reads.
    inner = getattr(one, "socket", one)
    with suppress(OSError, TypeError):
        socket.socket.shutdown(inner, socket.SHUT_RDWR)  # type: ignore[arg-type]
