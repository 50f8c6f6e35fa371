"""Servers that lie: between a test and a real OpenBao or S3 store, they break what passes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any, Self

from tests.http_proxy import (
    Behaviour,
    Exchange,
    HttpProxy,
    Request,
    hang,
    limited,
    pass_through,
    status,
    times,
)
from tests.s3_faults import S3Faults
from tests.tcp_proxy import CuttingTcpProxy

__all__ = [
    "Behaviour",
    "CuttingTcpProxy",
    "Exchange",
    "LyingProxy",
    "Request",
    "S3Faults",
    "bitflip_state",
    "cut_after",
    "empty",
    "halve",
    "hang",
    "json_body",
    "packed_again",
    "page",
    "pass_through",
    "rebuilt",
    "redirect",
    "stale",
    "stall_after",
    "status",
    "times",
    "trailing",
    "trickle",
    "truncate",
    "without_sealed",
]

SNAPSHOT_PATH = "/v1/sys/storage/raft/snapshot"
_SNAPSHOT_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Disposition", "attachment"),
    ("Content-Type", "application/gzip"),
    ("Transfer-Encoding", "chunked"),
)


class LyingProxy:
    """Stands before a real server and answers for it as `snapshot` says.

    Everything but `GET /v1/sys/storage/raft/snapshot` and the overridden paths passes through.
    """

    def __init__(self, upstream_address: str) -> None:
        self.snapshot: Behaviour = pass_through
        self._overrides: dict[str, Behaviour] = {}
        self._proxy = HttpProxy(upstream_address, self._choose)
        self.address = self._proxy.address

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order they came."""
        return self._proxy.requests

    @property
    def snapshot_requests(self) -> list[Request]:
        return [request for request in self.requests if _asks_for_snapshot(request)]

    def override(self, path: str, code: int, document: Any, times: int | None = None) -> None:
        """Answer `path`, whatever the method, with this JSON; the first `times` requests only."""
        self.behave(path, status(code, document), times)

    def behave(self, path: str, behaviour: Behaviour, times: int | None = None) -> None:
        """Treat `path` so, whatever the method; the first `times` requests only."""
        self._overrides[path] = limited(behaviour, times)

    def stop(self) -> None:
        """End it; what it stalled is cut off."""
        self._proxy.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _choose(self, request: Request) -> Behaviour:
        if _asks_for_snapshot(request):
            return self.snapshot
        return self._overrides.get(request.path, pass_through)


def empty() -> Behaviour:
    """A well-formed 200 without a single byte."""
    return _changed(lambda _: b"")


def truncate(size: int) -> Behaviour:
    """The last `size` bytes are missing; the end is well-formed."""
    return _changed(lambda archive: archive[:-size])


def halve() -> Behaviour:
    """The second half is missing; the end is well-formed."""
    return _changed(lambda archive: archive[: len(archive) // 2])


def without_sealed() -> Behaviour:
    """SHA256SUMS.sealed is missing, as from a server whose KMS does not answer."""
    return _changed(
        lambda archive: rebuilt(
            archive, lambda name, data: None if name == "SHA256SUMS.sealed" else data
        )
    )


def bitflip_state() -> Behaviour:
    """One bit of state.bin is wrong; gzip's checksum is right."""

    def flip(name: str, data: bytes) -> bytes:
        if name != "state.bin":
            return data
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    return _changed(lambda archive: rebuilt(archive, flip))


def trailing(data: bytes) -> Behaviour:
    """Bytes follow the archive."""
    return _changed(lambda archive: archive + data)


def json_body(document: Any) -> Behaviour:
    """A 200 with JSON where the archive should be."""
    return _instead(json.dumps(document).encode(), "application/json")


def page(text: str) -> Behaviour:
    """A 200 with a page where the archive should be, as of a login before the server."""
    return _instead(text.encode(), "text/html; charset=utf-8")


def packed_again() -> Behaviour:
    """A proxy compresses the archive once more."""

    def behave(exchange: Exchange) -> None:
        archive = _fetched(exchange)
        if archive is not None:
            headers = [*_SNAPSHOT_HEADERS, ("Content-Encoding", "gzip")]
            exchange.answer(200, headers, gzip.compress(archive))

    return behave


def stale(archive: bytes) -> Behaviour:
    """Another archive than the server's, such as an older one."""
    return _instead(archive, "application/gzip")


def cut_after(size: int) -> Behaviour:
    """The connection ends after `size` bytes, without the final chunk."""

    def behave(exchange: Exchange) -> None:
        if _send_first(exchange, size):
            exchange.cut()

    return behave


def stall_after(size: int) -> Behaviour:
    """Silence after `size` bytes, on an open connection, until the proxy is stopped."""

    def behave(exchange: Exchange) -> None:
        if _send_first(exchange, size):
            hang(exchange)

    return behave


def trickle(interval: float) -> Behaviour:
    """One byte every `interval` seconds, until the end or until the proxy is stopped."""

    def behave(exchange: Exchange) -> None:
        archive = _fetched(exchange)
        if archive is None:
            return
        exchange.begin(200, _SNAPSHOT_HEADERS)
        for value in archive:
            exchange.send(bytes([value]))
            if not exchange.pause(interval):
                exchange.cut()
                return
        exchange.finish()

    return behave


def redirect(to: str) -> Behaviour:
    """A 307 to the same path at the address `to`, as from a standby."""

    def behave(exchange: Exchange) -> None:
        location = to.rstrip("/") + exchange.request.target
        exchange.answer(307, [("Location", location), ("Content-Length", "0")], b"")

    return behave


def rebuilt(archive: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """Rebuild an archive, its members in order, each as `change(name, data)` makes it.

    A member for which it returns nothing is left out. Lengths and gzip's checksum are right,
    the sums in SHA256SUMS stay as they were.
    """
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as source,
        tarfile.open(fileobj=plain, mode="w") as target,
    ):
        for member in source:
            reader = source.extractfile(member)
            data = change(member.name, reader.read() if reader else b"")
            if data is not None:
                member.size = len(data)
                target.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), compresslevel=1)


def _asks_for_snapshot(request: Request) -> bool:
    return request.method == "GET" and request.path == SNAPSHOT_PATH


def _fetched(exchange: Exchange) -> bytes | None:
    """The archive from the server; nothing where it refused, which is passed on."""
    response = exchange.forward()
    if response.status != 200:
        exchange.relay(response)
        return None
    return response.read()


def _changed(change: Callable[[bytes], bytes]) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        archive = _fetched(exchange)
        if archive is not None:
            exchange.answer(200, _SNAPSHOT_HEADERS, change(archive))

    return behave


def _instead(body: bytes, kind: str) -> Behaviour:
    headers = [("Content-Type", kind), ("Transfer-Encoding", "chunked")]
    return lambda exchange: exchange.answer(200, headers, body)


def _send_first(exchange: Exchange, size: int) -> bool:
    archive = _fetched(exchange)
    if archive is None:
        return False
    exchange.begin(200, _SNAPSHOT_HEADERS)
    exchange.send(archive[:size])
    return True
