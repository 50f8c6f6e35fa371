"""Splits large reads and writes into concurrent small ones, which every server must support.

The library can do that, too. But it accepts more bytes than requested and then never ends; and if
several requests fail when a connection ends, it reports one and leaves the others unhandled.
"""

from __future__ import annotations

import asyncio
from typing import Any

from raft_snapshot_agent.errors import StorageError

WINDOW = 2 << 20
"""Most bytes requested concurrently."""
_BLOCK = 32 << 10
"""Bytes of one request. Source: draft-ietf-secsh-filexfer-02, section 3: all servers accept it."""
_HINT = "look at the server: it breaks the protocol"


async def read_window(file: Any, position: int, size: int) -> bytes:
    """Read at most `size` bytes from a position; fewer only at the end.

    Arguments:
        file: File of the library, opened with `block_size=0`.
        position: In bytes.
        size: In bytes.

    Raises:
        StorageError: The server sends data that was not requested.
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
    """Read one block, with further requests if the server returns less."""
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
