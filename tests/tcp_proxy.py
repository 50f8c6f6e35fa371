"""A proxy for TCP, in threads, whose line a test can cut, freeze and repair."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from raft_snapshot_agent.servers.process import LOOPBACK, free_ports, release_ports

_BLOCK = 64 * 1024


class CuttingTcpProxy:
    """Passes bytes both ways between its own port and a real server's."""

    def __init__(self, host: str, port: int, listen: str = LOOPBACK) -> None:
        self._upstream = (host, port)
        self._host = listen
        # A claimed port: nobody takes it while it refuses.
        (self.port,) = free_ports(1)
        self.address = f"http://{listen}:{self.port}"
        self._lock = threading.Lock()
        self._moving = threading.Event()
        self._limit: int | None = None
        self._passed = 0
        self._live: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.restore()

    @property
    def limit_bytes(self) -> int | None:
        """Bytes let through, both ways together, before every connection is cut.

        Setting it starts the count anew; once reached, new connections are cut too.
        """
        return self._limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int | None) -> None:
        with self._lock:
            self._limit = limit
            self._passed = 0

    def stall(self) -> None:
        """Keep connections open, and take new ones, but let nothing through."""
        self._moving.clear()

    def refuse(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._listener:
            # Wakes the thread that waits in accept.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._cut()

    def restore(self) -> None:
        """Let everything through again."""
        self.limit_bytes = None
        self._moving.set()
        if self._listener is None:
            self._listener = socket.create_server((self._host, self.port), backlog=128)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """End it, with every connection that is open."""
        self.refuse()
        self._moving.set()
        release_ports([self.port])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._upstream) as up:
            ends = {client, up}
            with self._lock:
                self._live |= ends
            upload = threading.Thread(target=self._pump, args=(client, up), daemon=True)
            upload.start()
            self._pump(up, client)
            upload.join()
            with self._lock:
                self._live -= ends

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(_BLOCK):
                self._moving.wait()
                allowed = self._allowance(len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    self._cut()
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _hang_up(source, target)

    def _allowance(self, size: int) -> int:
        with self._lock:
            if self._limit is None:
                return size
            allowed = max(0, min(size, self._limit - self._passed))
            self._passed += allowed
            return allowed

    def _cut(self) -> None:
        with self._lock:
            _hang_up(*self._live)


def _hang_up(*ends: socket.socket) -> None:
    """End both directions, which wakes whoever waits for them."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
