"""HTTP over a unix socket."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

from urllib3.exceptions import NewConnectionError

from raft_snapshot_agent.network.connections import PlainConnection, PlainPool

_KEPT = 4
_LONGEST = 107
"""Most bytes of a path in a unix socket address."""


class UnixPool(PlainPool):
    """Connections to one socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", maxsize=_KEPT)
        self._path = path

    def clear(self) -> None:
        """Close idle connections, like `PoolManager.clear`; the pool stays usable."""
        unused: LifoQueue[Any] = LifoQueue(_KEPT)
        for _ in range(_KEPT):
            unused.put(None)
        idle, self.pool = self.pool, unused
        with suppress(Empty):
            while idle is not None:
                if (connection := idle.get(block=False)) is not None:
                    connection.close()

    def _new_conn(self) -> PlainConnection:
        return _UnixConnection(self._path)


class _UnixConnection(PlainConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.watched()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        try:
            _connect(connection, self._path)
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, f"{self._path}: {error.strerror}") from error
        self.sock = connection
        self.watched()


def _connect(connection: socket.socket, path: str) -> None:
    """Connect to a socket; if its path is too long, through a file descriptor of its folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        connection.connect(path)
        return
    folder = os.open(Path(path).parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{Path(path).name}")
    finally:
        os.close(folder)
