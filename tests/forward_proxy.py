"""Forward proxies that may demand a password: tinyproxy, where it is, and one of our own."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import trustme
from tests.http_proxy import Behaviour, Exchange, HttpProxy, status
from tests.leaks import WATCH
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    release_ports,
    until,
)

USER, PASSWORD = "agent", "w0rd.of-the-proxy"
"""Of the characters that tinyproxy takes."""
HERE = "0.0.0.0"
"""Leads to this host, but is no loopback address: those never go through the environment's."""
_ROOT = Path(__file__).parent.parent
TINYPROXY = shutil.which("tinyproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/bin") or (
    shutil.which("tinyproxy", path=str(_ROOT / ".venv" / "tinyproxy" / "usr" / "bin"))
)
"""Where `make test` puts it, if this host has none."""
KINDS = ["own", *(["tinyproxy"] if TINYPROXY else [])]


class Forward(Protocol):
    """A forward proxy."""

    @property
    def port(self) -> int: ...

    @property
    def asked(self) -> list[str]:
        """The targets of all requests, of CONNECT too."""


def url(proxy: Forward, user: str | None = USER, password: str = PASSWORD) -> str:
    """Write its URL as the agent is given it."""
    WATCH.learn(password)
    pair = "" if user is None else f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return f"http://{pair}{LOOPBACK}:{proxy.port}"


@contextmanager
def forward_proxy(kind: str, folder: Path) -> Iterator[Forward]:
    """Run one that demands USER and PASSWORD."""
    if kind == "tinyproxy":
        with _tinyproxy(folder) as proxy:
            yield proxy
    else:
        with HttpProxy("http://127.0.0.1:1", lambda _: forwarding()) as server:
            yield Own(server)


@contextmanager
def tls_forward_proxy(authority: trustme.CA) -> Iterator[Own]:
    """Run one that is itself reached by TLS."""
    with TlsProxy("http://127.0.0.1:1", lambda _: forwarding(), authority) as server:
        yield Own(server)


@contextmanager
def answering(behaviour: Behaviour) -> Iterator[Own]:
    """Run one that answers everything in one way."""
    with HttpProxy("http://127.0.0.1:1", lambda _: behaviour) as server:
        yield Own(server)


@dataclass(frozen=True, slots=True)
class Own:
    """Ours."""

    server: HttpProxy

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def asked(self) -> list[str]:
        return [request.target for request in self.server.requests]


def forwarding(user: str = USER, password: str = PASSWORD) -> Behaviour:
    """Forward what comes with the password."""
    pair = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"

    def forward(exchange: Exchange) -> None:
        request = exchange.request
        if request.headers["Proxy-Authorization"] != pair:
            headers = [("Proxy-Authenticate", "Basic"), ("Content-Length", "0")]
            exchange.answer(407, headers, b"")
            return
        del request.headers["Proxy-Authorization"]
        connect = request.method == "CONNECT"
        there = urlsplit(f"//{request.target}" if connect else request.target)
        host, port = there.hostname or "", there.port
        try:
            if connect:
                with socket.create_connection((host, port or 443), 5) as upstream:
                    exchange.tunnel(upstream)
                return
            target = there.path + (f"?{there.query}" if there.query else "")
            exchange.relay(exchange.forward(http.client.HTTPConnection(host, port), target or "/"))
        except socket.gaierror:
            status(502)(exchange)

    return forward


@dataclass(frozen=True, slots=True)
class Tinyproxy:
    """Debian's."""

    port: int
    log: Path
    process: ServerProcess = field(repr=False)

    @property
    def asked(self) -> list[str]:
        return re.findall(r"Request \(file descriptor \d+\): \w+ (\S+)", self.log.read_text())


@contextmanager
def _tinyproxy(folder: Path) -> Iterator[Tinyproxy]:
    (port,) = free_ports(1)
    log = folder / "tinyproxy.log"
    settings = {
        "Port": port,
        "Listen": LOOPBACK,
        "Timeout": 60,
        "LogFile": f'"{log}"',
        "LogLevel": "Connect",
        "BasicAuth": f"{USER} {PASSWORD}",
        "MaxClients": 50,
    }
    config = folder / "tinyproxy.conf"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    command = [str(TINYPROXY), "-d", "-c", str(config)]
    process = ServerProcess("tinyproxy", command, folder / "out", {"PATH": "/usr/bin:/bin"})
    process.start()
    try:
        until(lambda: _listens(port), "tinyproxy listens", within=90)
        yield Tinyproxy(port, log, process)
    finally:
        process.kill()
        release_ports([port])


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    time.sleep(0.05)
    return False
