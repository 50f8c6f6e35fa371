"""Relays connections of an isolated server to the hosts that it may reach.

The server's process opens the listening sockets in its namespace and sends them here, where each
connection to them is forwarded to its host. So the server reaches its KMS, and no other host.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

RELAY_SOCKET = "relay.sock"
_CONNECT = 10.0
_PIECE = 64 << 10
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Reachable:
    """A host that an isolated server may reach."""

    host: str
    """A name or an IPv4 address."""
    port: int


class Relay:
    """Forwards connections out of a namespace, for each start of a server in it."""

    def __init__(
        self, folder: Path, reachable: Sequence[Reachable], shown: Sequence[Path] = ()
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            folder: Private folder of the server.
            reachable: Hosts that it may reach.
            shown: Files of this host that it may read.
        """
        self._folder = folder
        self._reachable = tuple(reachable)
        hosts = [f"reach {one.host}:{one.port}" for one in reachable]
        self._word = "\0".join([*hosts, *(f"show {path}" for path in shown)]).encode()
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._control = socket.socket(socket.AF_UNIX)
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        try:  # a socket path is limited to 107 bytes
            self._control.bind(f"/proc/self/fd/{folder}/{RELAY_SOCKET}")
        finally:
            os.close(folder)
        self._control.listen()
        threading.Thread(target=self._serve, args=(self._control,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None:
            _end(self._control)
        self._replace([])

    def _serve(self, control: socket.socket) -> None:
        with suppress(OSError):
            while True:
                asked, _ = control.accept()
                with asked, suppress(OSError):
                    self._replace(self._receive(asked))

    def _receive(self, asked: socket.socket) -> list[socket.socket]:
        """Send a starting server the hosts that it may reach, and receive its listeners."""
        asked.settimeout(_PATIENCE)
        asked.sendall(self._word)
        asked.shutdown(socket.SHUT_WR)
        descriptors = socket.recv_fds(asked, 1, len(self._reachable))[1]
        return [socket.socket(fileno=one) for one in descriptors]

    def _replace(self, listeners: list[socket.socket]) -> None:
        with self._lock:
            old, self._listeners = self._listeners, listeners
        for one in old:
            _end(one)
        for one, target in zip(listeners, self._reachable, strict=False):
            threading.Thread(target=_listen, args=(one, target), daemon=True).start()


def _listen(listener: socket.socket, target: Reachable) -> None:
    with suppress(OSError):
        while True:
            inner, _ = listener.accept()
            threading.Thread(target=_connect, args=(inner, target), daemon=True).start()


def _connect(inner: socket.socket, target: Reachable) -> None:
    """Forward one connection; close it if its host does not answer."""
    try:
        outer = socket.create_connection((target.host, target.port), timeout=_CONNECT)
    except OSError:
        _end(inner)
        return
    outer.settimeout(None)
    back = threading.Thread(target=_pour, args=(outer, inner), daemon=True)
    back.start()
    _pour(inner, outer)
    back.join()
    _end(inner)
    _end(outer)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _end(one: socket.socket) -> None:
    """Close a socket, and wake threads that wait on it."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
