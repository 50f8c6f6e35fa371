"""Deadlines of work in threads: which connections are cut off when one has passed.

The time-outs of sockets bound the pause between two bytes: whoever sends one byte in time after
the other keeps a call for ever. So a call has a deadline as a whole, and what it waits on is cut
off then. The same cuts off what nobody waits for any more.
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
"""Seconds between two looks whether it was put off, or brought forward."""
_AGAIN = 0.05
"""Seconds after which a call that has not ended yet is cut off once more: it may have opened a
connection just then."""

_Piece = TypeVar("_Piece")


class Connection(Protocol):
    """What bytes go over."""

    def sockets(self) -> Iterator[object]:
        """List what to shut down; nothing while there is no connection."""


class Passed(Exception):
    """The deadline passed before the next connection was used."""


class Deadline:
    """Until when work may last; work inside it ends no later."""

    def __init__(self, seconds: float = math.inf, outer: Deadline | None = None) -> None:
        """Begin.

        Arguments:
            seconds: From now on.
            outer: What this is a part of.
        """
        self._until = time.monotonic() + seconds
        self._outer = outer
        self._over = False
        self._connection: Connection | None = None

    @property
    def left(self) -> float:
        """Seconds until it passes; 0 once it did."""
        if self._over:
            return 0.0
        own = max(self._until - time.monotonic(), 0.0)
        return own if self._outer is None else min(own, self._outer.left)

    def belong_to(self, outer: Deadline | None) -> None:
        """End no later than another."""
        self._outer = outer

    def grant(self, seconds: float) -> None:
        """Put it off, for what was done meanwhile."""
        self._until += seconds

    def renew(self, seconds: float) -> None:
        """Begin anew, from now on."""
        self._until = time.monotonic() + seconds

    def watch(self, connection: Connection) -> None:
        """Cut this connection off when the time is over.

        Raises:
            Passed: It is over.
        """
        self._connection = connection
        if self._outer is not None:
            self._outer.watch(connection)
        if not self.left:
            raise Passed

    def sockets(self) -> Iterator[object]:
        """List what the work waits on, so that it can be watched as a part of other work."""
        if self._connection is not None:
            yield from self._connection.sockets()

    def forget(self) -> None:
        """Release the connection; others may use it from now on."""
        self._connection = None
        if self._outer is not None:
            self._outer.forget()

    def cut(self) -> None:
        """End the work now, from any thread."""
        self._over = True
        self.interrupt()

    def interrupt(self) -> None:
        """Cut off what it waits on now, from any thread; it may go on with another connection."""
        for one in self.sockets():
            _shut(one)


_HERE = threading.local()


def current() -> Deadline | None:
    """Return the deadline of the work that this thread does."""
    found: Deadline | None = getattr(_HERE, "deadline", None)
    return found


@contextmanager
def enter(deadline: Deadline) -> Iterator[Deadline]:
    """Do work in this thread under a deadline; nobody watches over it but its connections."""
    before = current()
    _HERE.deadline = deadline
    try:
        yield deadline
    finally:
        _HERE.deadline = before
        deadline.forget()


@contextmanager
def within_thread(deadline: Deadline) -> Iterator[Deadline]:
    """Do work under a deadline that others hold, inside that of this thread."""
    deadline.belong_to(current())
    with enter(deadline):
        yield deadline


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """Give the calls in this thread so many seconds together."""
    with enter(Deadline(seconds, current())) as deadline:
        yield deadline


@contextmanager
def enforce(seconds: float = math.inf) -> Iterator[Deadline]:
    """Give one call so many seconds, and cut its connection off when they are over."""
    with within(seconds) as deadline:
        ended = threading.Event()
        watchdog = threading.Thread(target=_cut_off, args=(deadline, ended), daemon=True)
        watchdog.start()
        try:
            yield deadline
        finally:
            ended.set()
            watchdog.join()


def stepwise(pieces: Iterable[_Piece], seconds: float) -> Iterator[_Piece]:
    """Give each piece of a body so many seconds to be sent; waiting for one costs none.

    What is left when the last was sent is for the answer.
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


def _cut_off(deadline: Deadline, ended: threading.Event) -> None:
    while not ended.wait(min(deadline.left, _LOOK) or _AGAIN):
        if not deadline.left:
            deadline.interrupt()


def _shut(one: object) -> None:
    # TLS has a method of its own, which would take the encryption away from who still reads.
    inner = getattr(one, "socket", one)
    with suppress(OSError, TypeError):
        socket.socket.shutdown(inner, socket.SHUT_RDWR)  # type: ignore[arg-type]
