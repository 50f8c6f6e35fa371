"""Connections that are closed at a deadline and refuse invalid lengths."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from raft_snapshot_agent.network.deadline import current
from raft_snapshot_agent.network.reach import check_peer


class _Response(HTTPResponse):
    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:  # it would be read as "all there is"
            raise HTTPException("a chunk has a negative length")
        return size


class Watched(HTTPConnection):
    """A connection that registers with the thread's deadline before it blocks."""

    response_class = _Response
    _used: Any = None
    """The socket of the answer; the library drops its reference but continues to read."""

    def sockets(self) -> Iterator[object]:
        yield from (one for one in {self.sock, self._used} if one is not None)

    def watched(self) -> None:
        """Register the connection with the deadline of this thread.

        Raises:
            Passed: The deadline has passed.
        """
        self._used = self.sock
        if (deadline := current()) is not None:
            deadline.watch(self)

    def connect(self) -> None:
        self.watched()
        super().connect()
        self.watched()

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        try:
            check_peer(made)
        except BaseException:
            made.close()
            raise
        return made

    def request(self, *args: Any, **more: Any) -> None:
        self.watched()
        super().request(*args, **more)

    def getresponse(self) -> Any:
        self.watched()
        used = self.sock
        try:
            return super().getresponse()
        except BaseException:
            # On an invalid head the library drops the answer but leaves the socket open.
            if used is not None:
                with suppress(OSError):
                    os.close(used.detach())
            raise


class PlainConnection(Watched):
    """Without TLS."""


class TlsConnection(Watched, HTTPSConnection):
    """With TLS."""


class PlainPool(HTTPConnectionPool):
    """Connections without TLS to one host."""

    ConnectionCls = PlainConnection


class TlsPool(HTTPSConnectionPool):
    """Connections with TLS to one host."""

    ConnectionCls = TlsConnection


POOLS = {"http": PlainPool, "https": TlsPool}
"""By scheme."""
