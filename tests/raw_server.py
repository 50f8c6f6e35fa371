"""A server that says any bytes at any speed: for answers that no library would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

OK = b"HTTP/1.1 200 OK\r\n"
Pieces = Callable[[bytes], Iterator[bytes | float]]
"""Makes the answer to a request's head: bytes to send, and seconds to wait."""


class RawServer:
    """Listens on loopback; each connection is answered as `says` makes it, then closed."""

    def __init__(self, says: Pieces) -> None:
        self._says = says
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.asked: list[bytes] = []
        """The heads of the requests."""
        self.sent = 0
        """Bytes that were taken, headers included."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """End it, with every connection that is open."""
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(0.5)
        with connection, suppress(OSError):
            head = self._head(connection)
            self.asked.append(head)
            for piece in self._says(head):
                if self._stopped.is_set():
                    return
                if isinstance(piece, bytes):
                    self._send(connection, piece)
                elif self._stopped.wait(piece):
                    return

    def _send(self, connection: socket.socket, piece: bytes) -> None:
        view = memoryview(piece)
        while view and not self._stopped.is_set():
            with suppress(TimeoutError):
                sent = connection.send(view)
                self.sent += sent
                view = view[sent:]

    def _head(self, connection: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head and not self._stopped.is_set():
            with suppress(TimeoutError):
                piece = connection.recv(65536)
                if not piece:
                    raise ConnectionError
                head += piece
        return head


def whole(answer: bytes) -> Pieces:
    """Send all of it at once."""
    return lambda _: iter([answer])


def body(content: bytes, *headers: bytes) -> Pieces:
    """Answer 200 with a body, in good order but for these headers."""
    lines = b"".join(header + b"\r\n" for header in headers)
    length = b"Content-Length: %d\r\n" % len(content)
    lines += b"Connection: close\r\n"
    return whole(OK + (b"" if b"ength" in lines else length) + lines + b"\r\n" + content)


def dripping(answer: bytes, every: float = 0.05) -> Pieces:
    """Send it byte by byte."""

    def drip(_: bytes) -> Iterator[bytes | float]:
        for position in range(len(answer)):
            yield answer[position : position + 1]
            yield every

    return drip


def endless(beginning: bytes, piece: bytes) -> Pieces:
    """Never come to an end."""

    def flood(_: bytes) -> Iterator[bytes | float]:
        yield beginning
        while True:
            yield piece

    return flood
