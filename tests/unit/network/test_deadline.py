"""Deadlines: which connections are shut down, when, and by how many threads."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from raft_snapshot_agent.network.deadline import Deadline, current, enforce, enter

CALLS = 40


class Line:
    """A connection whose other end sends nothing."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.settimeout(60)

    def sockets(self) -> Iterator[object]:
        yield self.near

    def wait(self) -> bytes:
        """Wait for a byte, as a call does for its answer; empty once the line is shut down."""
        deadline = current()
        assert deadline is not None
        deadline.watch(self)
        return self.near.recv(1)

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Broken:
    """A connection that cannot even be asked for its sockets."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def sockets(self) -> Iterator[object]:
        self.asked.set()
        raise RuntimeError("defect")


@contextmanager
def lines(count: int = 1) -> Iterator[list[Line]]:
    opened = [Line() for _ in range(count)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def call(line: Line, seconds: float) -> bytes:
    with enforce(seconds):
        return line.wait()


def test_a_short_call_ends_beside_one_that_may_take_long() -> None:
    with lines(2) as (long, short), ThreadPoolExecutor() as threads:
        waiting = threads.submit(call, long, 60)
        assert call(short, 0.01) == b""
        assert call(short, 0.01) == b""  # the line stays shut
        assert not waiting.done()
        long.far.send(b"x")
        assert waiting.result() == b"x"


def test_calls_of_all_threads_are_watched_by_one() -> None:
    before = threading.active_count()
    with lines(CALLS) as opened, ThreadPoolExecutor(CALLS) as threads:
        waiting = [threads.submit(call, line, 60) for line in opened]
        for line in opened:
            line.far.send(b"x")
        assert [one.result() for one in waiting] == [b"x"] * CALLS
        assert threading.active_count() <= before + CALLS + 1


def test_nothing_is_shut_down_after_its_call() -> None:
    with lines() as (line,), lines() as (other,):
        with enforce(0.05) as deadline:
            deadline.watch(line)
        assert call(other, 0.2) == b""  # the first deadline passed meanwhile
        line.far.send(b"x")
        assert line.near.recv(1) == b"x"


def test_work_that_is_ended_from_outside_ends_its_call() -> None:
    with lines() as (line,), ThreadPoolExecutor() as threads:
        work = Deadline()

        def run() -> bytes:
            with enter(work):
                return call(line, 60)

        waiting = threads.submit(run)
        while not any(work.sockets()):
            time.sleep(0.01)
        work.cut()
        assert waiting.result() == b""


def test_a_connection_with_a_defect_leaves_the_others_watched() -> None:
    broken = Broken()
    with lines() as (line,), enforce(0.2):
        deadline = current()
        assert deadline is not None
        deadline.watch(broken)
        assert broken.asked.wait(60)
        with enter(Deadline()):
            assert call(line, 0.01) == b""
