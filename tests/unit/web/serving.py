"""A web server on loopback, and requests to it byte by byte."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import trustme
from tests.unit.web.statuses import NOW, agent

from raft_snapshot_agent.config.web import WebSettings
from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.web.protocol import BoundedProtocol
from raft_snapshot_agent.web.server import WebServer

WITHIN = 60
"""Seconds that anything may take on a busy machine."""


class Lines:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda text, **_: self.lines.append(f"{level}: {text}")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Served:
    """A server that runs."""

    board: StatusBoard
    log: Lines
    port: int
    asked: list[str | None] = field(default_factory=list)
    trust: ssl.SSLContext | None = None
    """What a client trusts, if the server has a certificate."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self.trust and "localhost"
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trust, server_hostname=name
        )

    async def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Answer:
        named = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        if body:
            named["Content-Length"] = str(len(body))
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in named.items()), "", ""]
        return await self.send("\r\n".join(lines).encode() + body)

    async def send(self, raw: bytes) -> Answer:
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            answer = await asyncio.wait_for(reader.read(), WITHIN)
        finally:
            writer.close()
        return parse(answer)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Read until the server ends it."""
    try:
        return await asyncio.wait_for(reader.read(), WITHIN)
    except ConnectionError:
        return b""


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (one.partition(":") for one in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunk(body)
    return Answer(int(first.split()[1]), headers, body)


def _unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + rest[:length], rest[length + 2 :]
    return whole


def issue(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """Write a certificate and its key, and return them as `web.tls` wants them."""
    pair = authority.issue_cert("localhost")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {"cert": folder / "cert.pem", "key": folder / "key.pem"}


def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def serve(
    status: AgentStatus | None = None,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    most: int = 100,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve a status on a free port of loopback."""
    log, asked = Lines(), list[str | None]()
    names = {one.name for one in (status or agent()).clusters if not one.disabled}

    def take_now(name: str | None) -> bool:
        asked.append(name)
        return bool(names) if name is None else name in names

    told = WebSettings.model_validate({"listen": "127.0.0.1:0", **settings})
    server = WebServer(told, cast("Log", log), take_now=take_now, protocol=protocol, most=most)
    board = StatusBoard(status or agent(), clock=lambda: NOW)
    async with anyio.create_task_group() as tasks:
        server.listen()
        tasks.start_soon(server.run, board)
        yield Served(board, log, server.port, asked)
        tasks.cancel_scope.cancel()
