"""Accept connections up to a limit.

asyncio's own server has no limit, and could use all file descriptors that a snapshot needs.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from raft_snapshot_agent.errors import AgentError, reason_of

HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""
_BACKLOG = 64
_PAUSE = 0.2
"""Seconds to wait if the host has no file descriptors left."""


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket and listen.

    Raises:
        AgentError: The port is in use, or the address is not this host's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refused(host, port, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _refused(host, port, error) from error
    listening.setblocking(False)
    return listening


def _refused(host: str, port: int, error: OSError) -> AgentError:
    return AgentError(
        f"cannot listen on {host} port {port}: {reason_of(error)}",
        hint="check which process listens there (ss -ltnp), or set web.listen to another address "
        "and port",
    )


class Listener:
    """Creates a protocol for each connection."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        context: Callable[[], ssl.SSLContext | None] = lambda: None,
        most: int = 100,
    ) -> None:
        """Prepare without accepting connections.

        Arguments:
            make: Creates the protocol of a connection.
            context: Returns the TLS context for each connection, as it may be replaced.
            most: Maximum connections; further ones are closed at once.
        """
        self._make = make
        self._context = context
        self._most = most
        self._open: set[socket.socket] = set()
        self._shaking: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Accept connections until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError:  # the client disconnected, or no file descriptor is left
                    await asyncio.sleep(_PAUSE)
                    continue
                self._take(connection)
        finally:
            for task in self._shaking:
                task.cancel()

    def _take(self, connection: socket.socket) -> None:
        self._open = {one for one in self._open if one.fileno() != -1}
        if len(self._open) >= self._most:
            connection.close()
            return
        self._open.add(connection)
        task = asyncio.get_running_loop().create_task(self._begin(connection))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _begin(self, connection: socket.socket) -> None:
        context = self._context()
        timeout = HANDSHAKE if context else None
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, connection, ssl=context, ssl_handshake_timeout=timeout
            )
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            connection.close()
