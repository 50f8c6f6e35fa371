"""A snapshot in parts, several of which are under way at once, while it still grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Protocol

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.http.lanes import Lanes

PART = 12 << 20
"""Bytes of a part. S3 takes 10,000 of them, 117 GiB; Azure five times as many."""
_PARALLEL = 3
"""Parts under way, each in memory."""
_STEP = 1 << 20
"""Read and sent at once: over a slow link even that must not take longer than the timeout."""


class SizedObjects(Protocol):
    """Objects of a store that tells how large they are."""

    def size(self, doing: str, key: str) -> int | None:
        """Return how large an object is, 0 where there is none; nothing without that right."""

    def delete(self, doing: str, key: str) -> None:
        """Remove an object; what is gone is no error."""


def read_if_small(source: UploadSource) -> memoryview | None:
    """Wait until all is there, and read it; nothing once it is more than a part."""
    reached = 0
    while reached <= PART and (longer := source.follow(reached)) > reached:
        reached = longer
    return None if reached > PART else _filled(source, 0, bytearray(reached))


def send_parts(source: UploadSource, stop: Event, send: Callable[[int, memoryview], None]) -> int:
    """Send a source part by part; the last of them waits for the snapshot's verdict.

    Arguments:
        source: What to send.
        stop: Set to have it break off.
        send: Sends one part, of a number from 1 on, from a thread of its own.

    Returns:
        How many bytes there were.
    """
    lanes = Lanes(_PARALLEL, stop)
    try:
        return _send_all(lanes, source, send)
    except BaseException:
        lanes.close()
        raise


def _send_all(lanes: Lanes, source: UploadSource, send: Callable[[int, memoryview], None]) -> int:
    number = position = 0
    # Filled again and again: new memory for every part would cost more than sending it.
    free = deque(bytearray(PART) for _ in range(_PARALLEL))

    def send_one(number: int, part: memoryview, buffer: bytearray) -> None:
        send(number, part)
        free.append(buffer)

    lanes.wait()
    while part := _filled(source, position, buffer := free.popleft()):
        number, position = number + 1, position + len(part)
        lanes.begin(partial(send_one, number, part, buffer))
        lanes.wait()
    lanes.finish()
    return position


def _filled(source: UploadSource, start: int, buffer: bytearray) -> memoryview:
    """Read one part, or what there is left, into a buffer, and return what it fills of that."""
    size = 0
    while wanted := min(_STEP, len(buffer) - size):
        if not (piece := source.read(start + size, wanted)):
            break
        buffer[size : size + len(piece)] = piece
        size += len(piece)
    return memoryview(buffer)[:size]


def steps_of(part: memoryview) -> Iterator[memoryview]:
    """Cut a part into the pieces in which it is sent."""
    return (part[at : at + _STEP] for at in range(0, len(part), _STEP))


def require_size(objects: SizedObjects, key: str, where: str, sent: int) -> int:
    """Hold what the store says of an object's size against what was sent; remove it if it differs.

    Raises:
        StorageError: It differs.
    """
    stored = objects.size(f"cannot look at {where}", key)
    if stored is None or stored == sent:
        return sent
    with suppress(StorageError):
        objects.delete(f"cannot delete {where}", key)
    raise StorageError(f"{where} holds {stored} bytes of {sent} sent")
