"""The ways out of a server that is closed in: connections to the hosts that are named.

The server's own process makes the listeners, in its namespace, and hands them out; here each
connection to them is taken over to the host that it is for. So the server speaks to its KMS as
if it were not closed in, and to nobody else.
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
    """A host that a closed-in server may speak to."""

    host: str
    """A name or an IPv4 address."""
    port: int


class Relay:
    """Takes connections out of a namespace, each time a server was started in it."""

    def __init__(
        self, folder: Path, reachable: Sequence[Reachable], shown: Sequence[Path] = ()
    ) -> None:
        """Make ready.

        Arguments:
            folder: The server's, which nobody else enters.
            reachable: Whom it may speak to.
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
        try:  # the path of a socket has 107 bytes at most
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
        """Tell a server that starts whom it may reach, and take its listeners."""
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
    """Take one connection over; where its host does not answer, it is closed."""
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
    """Close a socket, and wake who waits on it."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
