"""An upload that is cancelled takes back what it sent."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from threading import Event

import anyio
import pytest

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.network.deadline import current
from raft_snapshot_agent.storage.http.body import cleanup, in_stoppable_thread
from raft_snapshot_agent.threads import in_thread

pytestmark = pytest.mark.anyio


class Line:
    """A connection whose other end the test holds."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.used, self.ended = Event(), Event()

    def sockets(self) -> Iterator[object]:
        yield self.ours

    def use(self) -> None:
        """Be in use until the test ends it."""
        deadline = current()
        assert deadline is not None
        deadline.watch(self)
        self.used.set()
        self.ended.wait(60)

    @property
    def is_shut(self) -> bool:
        try:
            self.ours.send(b"x")
        except BrokenPipeError:
            return True
        return False

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


async def cancelled_while_in_use(line: Line, work: Callable[[Event], None]) -> bool:
    """Cancel the work while it uses its connection; return whether that was shut down."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_stoppable_thread, work)
        await in_thread(lambda: line.used.wait(60))
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)
            shut = line.is_shut
            line.ended.set()
    return shut


async def test_the_connection_of_an_upload_is_shut_down(line: Line) -> None:
    assert await cancelled_while_in_use(line, lambda _: line.use())


async def test_that_of_its_clean_up_is_not(line: Line) -> None:
    """It may have failed by itself just before: as the snapshot did that it sends."""

    def work(_: Event) -> None:
        with cleanup():
            line.use()

    assert not await cancelled_while_in_use(line, work)


def test_a_clean_up_that_fails_is_left_to_a_sweep() -> None:
    with cleanup():
        raise StorageError("it does not answer")
