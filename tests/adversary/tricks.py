"""What whoever answers over HTTP may do instead of answering."""

from __future__ import annotations

import gzip
import itertools
import socket
import struct
from collections.abc import Callable

from tests.http_proxy import Behaviour, Exchange, Request

INTERVAL = 0.2
"""Seconds between two bytes: far below every time-out, so that none of them ends it."""
GIB = 1 << 30
SHOUT = "\x1b[2J\x1b[31mAll is well\x1b[0m\r\nerror: none\u202e\u2066\x00\x07"
"""What an operator's terminal must not obey, and a log must not show as lines of its own."""


def raw(exchange: Exchange, data: bytes) -> None:
    """Send bytes as they are, whatever HTTP says of them."""
    exchange._handler.wfile.write(data)


def anything(_: Request) -> bool:
    return True


def asked(method: str, part: str = "", *query: str) -> Callable[[Request], bool]:
    """Choose requests by method, by a part of the path and by names in the query."""

    def chosen(request: Request) -> bool:
        named = all(name in request.query for name in query)
        return request.method == method and part in request.path and named

    return chosen


def drip(start: bytes = b"", byte: bytes = b" ") -> Behaviour:
    """Send a body without an end, a byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(200, [("Transfer-Encoding", "chunked"), ("ETag", '"0"')])
        exchange.send(start)
        while exchange.pause(INTERVAL):
            exchange.send(byte)
        exchange.cut()

    return behave


def slow_head(exchange: Exchange) -> None:
    """Send the head of an answer without an end, a byte at a time."""
    exchange.body()
    raw(exchange, b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while exchange.pause(INTERVAL):
        raw(exchange, b"a")
    exchange.cut()


def slow_reader(exchange: Exchange) -> None:
    """Take the request's body a byte at a time, and never answer."""
    source = exchange._handler.rfile
    while exchange.pause(INTERVAL):
        source.read(1)
    exchange.cut()


def endless_head(exchange: Exchange) -> None:
    """Send headers without an end, as fast as they are taken."""
    exchange.body()
    raw(exchange, b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        raw(exchange, b"X-%d: %b\r\n" % (number, b"a" * 8000))


def continuing(exchange: Exchange) -> None:
    """Say 100 Continue without an end."""
    exchange.body()
    while exchange.pause(0.02):
        raw(exchange, b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange.cut()


def flood(size: int = 2 * GIB, start: bytes = b"", *, status: int = 200) -> Behaviour:
    """Send a body of that size, with its length, as fast as it is taken."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(status, [("Content-Length", str(size)), ("ETag", '"0"')])
        exchange.send(start)
        block = b"\x20" * (1 << 20)
        for _ in range(size // len(block)):
            exchange.send(block)
        exchange.cut()

    return behave


def endless(start: bytes = b"", block: bytes = b" " * (1 << 20)) -> Behaviour:
    """Send a body without an end, as fast as it is taken."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(200, [("Transfer-Encoding", "chunked"), ("ETag", '"0"')])
        exchange.send(start)
        while True:
            exchange.send(block)

    return behave


def declares(length: str, body: bytes = b"") -> Behaviour:
    """Send a body with a length that is not its own, and then nothing."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(200, [("Content-Length", length), ("ETag", '"0"')])
        raw(exchange, body)
        exchange.pause(30)
        exchange.cut()

    return behave


def bomb(status: int = 200, coding: str = "gzip") -> Behaviour:
    """Send a body in a coding that nobody asked for: 1 MiB that unpacks to 1 GiB."""
    body = gzip.compress(b" " * (1 << 20)) * 1024

    def behave(exchange: Exchange) -> None:
        headers = [("Content-Encoding", coding), ("Content-Length", str(len(body)))]
        exchange.answer(status, [*headers, ("ETag", '"0"')], body)

    return behave


def says(status: int, body: bytes, *headers: tuple[str, str]) -> Behaviour:
    """Answer so."""

    def behave(exchange: Exchange) -> None:
        exchange.answer(status, [("Content-Length", str(len(body))), *headers], body)

    return behave


def speaks(data: bytes) -> Behaviour:
    """Send bytes that need not be HTTP, and close."""

    def behave(exchange: Exchange) -> None:
        exchange.body()
        raw(exchange, data)
        exchange.cut()

    return behave


def resets(exchange: Exchange) -> None:
    """End the connection with a reset."""
    exchange.body()
    connection = exchange._handler.connection
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    exchange.cut()


def silent(exchange: Exchange) -> None:
    """Take the request and never answer it."""
    exchange.body()
    exchange.pause()
    exchange.cut()


def redirects(status: int, to: str) -> Behaviour:
    """Send whoever asks elsewhere, with the same path."""

    def behave(exchange: Exchange) -> None:
        target = to + exchange.request.target
        exchange.body()
        exchange.answer(status, [("Location", target), ("Content-Length", "0")], b"")

    return behave
