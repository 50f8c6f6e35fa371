"""Sends a growing snapshot in several concurrent parts."""

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
"""Bytes of a part. S3 allows 10,000 parts, 117 GiB; Azure five times as many."""
_PARALLEL = 3
"""Concurrent parts, each in memory."""
_STEP = 1 << 20
"""Bytes sent at a time; small enough that on a slow link it takes less than the time-out."""


class SizedObjects(Protocol):
    """Objects of a store that reports their size."""

    def size(self, doing: str, key: str) -> int | None:
        """Return the size of an object, 0 if it is missing, `None` without permission."""

    def delete(self, doing: str, key: str) -> None:
        """Delete an object; a missing one is not an error."""


def read_if_small(source: UploadSource) -> memoryview | None:
    """Wait for the end and return the whole source; `None` if it is longer than a part."""
    reached = 0
    while reached <= PART and (longer := source.follow(reached)) > reached:
        reached = longer
    return None if reached > PART else _fill(source, 0, bytearray(reached))


def send_parts(source: UploadSource, stop: Event, send: Callable[[int, memoryview], None]) -> int:
    """Send a source in parts; the last part waits for verification.

    Arguments:
        source: The source.
        stop: Set to cancel.
        send: Sends one part, by its number from 1; called in several threads.

    Returns:
        Length of the source in bytes.
    """
    lanes = Lanes(_PARALLEL, stop)
    try:
        return _send_all(lanes, source, send)
    except BaseException:
        lanes.close()
        raise


def _send_all(lanes: Lanes, source: UploadSource, send: Callable[[int, memoryview], None]) -> int:
    number = position = 0
    # Buffers are reused: new memory for every part would cost more than sending it.
    free = deque(bytearray(PART) for _ in range(_PARALLEL))

    def send_one(number: int, part: memoryview, buffer: bytearray) -> None:
        send(number, part)
        free.append(buffer)

    lanes.wait()
    while part := _fill(source, position, buffer := free.popleft()):
        number, position = number + 1, position + len(part)
        lanes.begin(partial(send_one, number, part, buffer))
        lanes.wait()
    lanes.finish()
    return position


def _fill(source: UploadSource, start: int, buffer: bytearray) -> memoryview:
    """Read one part, or the rest, into a buffer; return the filled slice."""
    size = 0
    while wanted := min(_STEP, len(buffer) - size):
        if not (piece := source.read(start + size, wanted)):
            break
        buffer[size : size + len(piece)] = piece
        size += len(piece)
    return memoryview(buffer)[:size]


def steps_of(part: memoryview) -> Iterator[memoryview]:
    """Split a part into the pieces that are sent."""
    return (part[at : at + _STEP] for at in range(0, len(part), _STEP))


def require_size(objects: SizedObjects, key: str, where: str, sent: int) -> int:
    """Compare the stored size with the bytes sent; delete the object if it differs.

    Raises:
        StorageError: The sizes differ.
    """
    stored = objects.size(f"cannot look at {where}", key)
    if stored is None or stored == sent:
        return sent
    with suppress(StorageError):
        objects.delete(f"cannot delete {where}", key)
    raise StorageError(f"{where} holds {stored} bytes of {sent} sent")
