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
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util.timeout import Timeout

from raft_snapshot_agent.network.deadline import current
from raft_snapshot_agent.network.dial import dial
from raft_snapshot_agent.network.reach import check_peer

_LONGEST = 60.0
"""Seconds to connect where no time-out is set."""
_WITH_HEAD = 16 << 10
"""Bytes of a body that are sent together with the head of the request."""


class _Response(HTTPResponse):
    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:  # it would be read as "all there is"
            raise HTTPException("a chunk has a negative length")
        return size


class Watched(HTTPConnection):
    """A connection that registers with the thread's deadline before it blocks.

    It sends the head of a request together with the first bytes of the body: SeaweedFS takes a
    request that ends after its head for an empty object, which an agent that is killed in between
    would leave under a snapshot's name.
    """

    response_class = _Response
    _used: Any = None
    """The socket of the answer; the library drops its reference but continues to read."""
    _ends_head = False
    """Whether the next bytes to send are the head."""
    _head: bytes = b""
    """A head that is not sent yet."""

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
        made = self._dialled()
        try:
            check_peer(made)
        except BaseException:
            made.close()
            raise
        return made

    def _dialled(self) -> socket.socket:
        seconds = Timeout.resolve_default_timeout(self.timeout) or _LONGEST
        host: str = self._dns_host.strip("[]")
        try:
            return dial(host, self.port, seconds, self.socket_options or ())
        except UnicodeError as error:
            raise LocationParseError(f"{host!r}, label empty or too long") from error
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection within {seconds} s") from error
        except OSError as error:
            raise NewConnectionError(self, f"cannot connect: {error}") from error

    def request(self, *args: Any, **more: Any) -> None:
        self.watched()
        self._ends_head, self._head = False, b""
        super().request(*args, **more)
        if self._head:  # there is no body
            self.send(b"")

    def endheaders(self, *args: Any, **more: Any) -> None:
        self._ends_head = True
        super().endheaders(*args, **more)

    def send(self, data: Any) -> None:
        if self._ends_head:
            self._ends_head, self._head = False, data
            return
        if self._head:
            first, data = memoryview(data)[:_WITH_HEAD], memoryview(data)[_WITH_HEAD:]
            head, self._head = self._head, b""
            super().send(head + first)
        if len(data):
            super().send(data)

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
