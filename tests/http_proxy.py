"""A reverse proxy for HTTP, in a thread, whose answers a test decides."""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.leaks import WATCH

_BLOCK = 64 * 1024
_CHUNKED = "transfer-encoding"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: Message

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


class Exchange:
    """One request on its way through the proxy, and the means to answer it."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self._proxy = handler.server
        self._chunked = False
        self._undrained = True
        self._upstream: http.client.HTTPConnection | None = None
        self.request = Request(handler.command, handler.path, handler.headers)
        self.client: tuple[str, int] = handler.client_address
        """The other end of the connection."""

    def body(self) -> bytes:
        """Take the request's body, whole or not at all."""
        content = b"".join(self._body())
        if len(content) < int(self.request.headers.get("Content-Length") or 0):
            raise ConnectionError("the request was cut off")
        return content

    def forward(
        self, upstream: http.client.HTTPConnection | None = None, target: str | None = None
    ) -> http.client.HTTPResponse:
        """Send the request upstream as it is, Host header and body included.

        Arguments:
            upstream: Another one.
            target: Another than was asked for.
        """
        connection = self._upstream = upstream or self._proxy.connect()
        connection.putrequest(
            self.request.method,
            target or self.request.target,
            skip_host=True,
            skip_accept_encoding=True,
        )
        for name, value in self.request.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        chunked = _CHUNKED in self.request.headers
        for block in self._body():
            connection.send(_chunk(block) if chunked else block)
        if chunked:
            connection.send(_chunk(b""))
        return connection.getresponse()

    def relay(self, response: http.client.HTTPResponse) -> None:
        """Pass an answer from upstream on, untouched."""
        self.begin(response.status, response.getheaders())
        if self.request.method == "HEAD":
            return
        endless = not response.chunked and response.length is None
        while block := response.read1(_BLOCK):
            self.send(block)
        self.finish()
        if endless or response.length:
            self.cut()

    def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer; chunked where the headers say so."""
        self.begin(status, headers)
        if self.request.method != "HEAD":
            self.send(body)
            self.finish()

    def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the head of an answer, after taking what is left of the request."""
        for _ in self._body():
            pass
        self._chunked = False
        self._handler.send_response_only(status)
        for name, value in headers:
            self._chunked = self._chunked or name.lower() == _CHUNKED
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        """Send some of the body."""
        if data:
            self._handler.wfile.write(_chunk(data) if self._chunked else data)

    def finish(self) -> None:
        """End the body in good order."""
        if self._chunked:
            self._handler.wfile.write(_chunk(b""))

    def cut(self) -> None:
        """Close the connection at this point."""
        self._handler.close_connection = True

    def pause(self, seconds: float | None = None) -> bool:
        """Keep the connection open and silent; false once the proxy was stopped."""
        return not self._proxy.stopped.wait(seconds)

    def tunnel(self, upstream: socket.socket) -> None:
        """Carry bytes between client and upstream until one of them closes."""
        client = self._handler.connection
        self._handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.cut()
        other = {client: upstream, upstream: client}
        while not self._proxy.stopped.is_set():
            ready = select.select(list(other), (), (), 0.1)[0]
            if getattr(client, "pending", int)():
                ready = [client]
            for one in ready:
                if not (block := one.recv(_BLOCK)):
                    return
                other[one].sendall(block)

    def close(self) -> None:
        """Let go of upstream."""
        if self._upstream:
            self._upstream.close()

    def _body(self) -> Iterator[bytes]:
        if not self._undrained:
            return
        self._undrained = False
        source = self._handler.rfile
        if _CHUNKED in self.request.headers:
            while size := int(source.readline().split(b";")[0], 16):
                yield source.read(size)
                source.readline()
            source.readline()
            return
        left = int(self.request.headers.get("Content-Length") or 0)
        while left and (block := source.read(min(left, _BLOCK))):
            left -= len(block)
            yield block


Behaviour = Callable[[Exchange], None]


def pass_through(exchange: Exchange) -> None:
    """Answer as upstream does."""
    exchange.relay(exchange.forward())


def status(code: int, body: Any = b"") -> Behaviour:
    """Answer without asking upstream; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/plain" if isinstance(body, bytes) else "application/json"

    def refuse(exchange: Exchange) -> None:
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        exchange.answer(code, headers, content)

    return refuse


def hang(exchange: Exchange) -> None:
    """Take the request and never answer it."""
    exchange.pause()
    exchange.cut()


def times(count: int, behaviour: Behaviour) -> Behaviour:
    """Behave so for the first `count` requests only, and pass the others through."""
    turns = iter(range(count))
    lock = threading.Lock()

    def choose(exchange: Exchange) -> None:
        with lock:
            due = next(turns, None) is not None
        (behaviour if due else pass_through)(exchange)

    return choose


def limited(behaviour: Behaviour, count: int | None) -> Behaviour:
    """Behave so for the first `count` requests, or always."""
    return behaviour if count is None else times(count, behaviour)


class HttpProxy(ThreadingHTTPServer):
    """Listens on loopback; every request is answered as `choose` says."""

    request_queue_size = 128

    def __init__(self, upstream: str, choose: Callable[[Request], Behaviour]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.choose = choose
        self.stopped = threading.Event()
        self.requests: list[Request] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self._live: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection upstream."""
        assert self.upstream.hostname
        if self.upstream.scheme == "http":
            return http.client.HTTPConnection(self.upstream.hostname, self.upstream.port)
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(
            self.upstream.hostname, self.upstream.port, context=trusting
        )

    def stop(self) -> None:
        """End it, with every connection that is open."""
        self.stopped.set()
        self.shutdown()
        self._thread.join()
        for connection in list(self._live):
            self.shutdown_request(connection)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._live.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._live.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of lost connections: they are what the tests are about."""
        if not isinstance(sys.exception(), (OSError, http.client.HTTPException)):
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpProxy

    def _serve(self) -> None:
        exchange = Exchange(self)
        self.server.requests.append(exchange.request)
        WATCH.learn(self.headers.get("X-Vault-Token", ""))
        try:
            self.server.choose(exchange.request)(exchange)
        finally:
            exchange.close()

    def __getattr__(self, name: str) -> Any:
        # The server looks for do_GET, do_PUT and so on.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        pass


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
