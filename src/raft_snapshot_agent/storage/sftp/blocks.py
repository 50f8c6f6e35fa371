"""Large reads and writes as many small ones at once, each of which every server has to know.

The library can do that, too. But it believes a server that sends more than was asked for, and
then asks for ever; and of those that fail when a connection ends it reports one, and leaves the
others to whoever logs what nobody waited for.
"""

from __future__ import annotations

import asyncio
from typing import Any

from raft_snapshot_agent.errors import StorageError

WINDOW = 2 << 20
"""Bytes under way at once."""
_BLOCK = 32 << 10
"""Of one request. Source: draft-ietf-secsh-filexfer-02, section 3: what all servers take."""
_HINT = "look at the server: it breaks the protocol"


async def read_window(file: Any, position: int, size: int) -> bytes:
    """Read at most so many bytes from a position; fewer at the end alone.

    Arguments:
        file: Of the library, opened with `block_size=0`.
        position: In bytes.
        size: Likewise.

    Raises:
        StorageError: The server sends what was not asked for.
    """
    starts = range(position, position + size, _BLOCK)
    end = position + size
    blocks = await asyncio.gather(
        *(_read_block(file, start, min(_BLOCK, end - start)) for start in starts)
    )
    whole = bytearray()
    for start, block in zip(starts, blocks, strict=True):
        if block and position + len(whole) != start:
            raise StorageError("the file has a hole, or changes while it is read", hint=_HINT)
        whole += block
    return bytes(whole)


async def write_window(file: Any, content: bytes, position: int) -> None:
    """Write all of these bytes at a position."""
    await asyncio.gather(
        *(
            file.write(content[start : start + _BLOCK], position + start)
            for start in range(0, len(content), _BLOCK)
        )
    )


async def _read_block(file: Any, position: int, size: int) -> bytes:
    """Read one block, in several requests where the server answers with less."""
    block = b""
    while len(block) < size:
        wanted = size - len(block)
        piece: bytes = await file.read(wanted, position + len(block))
        if len(piece) > wanted:
            raise StorageError(f"it sent {len(piece)} bytes where {wanted} were asked", hint=_HINT)
        if not piece:
            break
        block += piece
    return block
