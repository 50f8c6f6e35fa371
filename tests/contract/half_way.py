"""A process that stores half a snapshot and waits to be killed.

Arguments: the storage's settings as JSON, the folder of the spool, the snapshot's name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from pydantic import TypeAdapter

from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.transfer.spool import Spool

_MIB = 1 << 20
_SIZE = 40 * _MIB


class Announcing:
    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.link = spool.link

    def follow(self, position: int) -> int:
        if position >= _SIZE:
            print("half-way", flush=True)
        return self._spool.follow(position)

    def read(self, position: int, size: int) -> bytes:
        self.follow(position)
        return self._spool.read(position, size)


async def main() -> None:
    settings, folder, name = sys.argv[1:]
    storage = TypeAdapter(AnyStorage).validate_json(settings).open()
    with Spool.create(Path(folder), "dead01") as spool:
        for _ in range(_SIZE // _MIB):
            spool.write(bytes(_MIB))
        await storage.put(name, Announcing(spool))


anyio.run(main)
