"""A crowd of small servers that answer like leaders of clusters of their own, or hang."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Self

Manner = Literal["well", "deaf", "stuck"]
"""`deaf` takes connections and answers nothing; `stuck` stops in the midst of a snapshot."""
HANG: list[Manner] = ["deaf", "stuck"]
WELL: list[Manner] = ["well"]

_SNAPSHOT = "/v1/sys/storage/raft/snapshot"


class Crowd:
    """Servers on loopback, each on a port of its own."""

    def __init__(self, snapshot: bytes, manners: list[Manner]) -> None:
        """Prepare the servers.

        Arguments:
            snapshot: What each of them has to give.
            manners: How each behaves.
        """
        self._snapshot = snapshot
        self._manners = manners
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self.addresses: list[str] = []
        self.asked: Counter[int] = Counter()
        """How often each was asked for a snapshot."""
        self.served: set[int] = set()
        """Those that somebody connected to."""

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._thread.start()
        self.addresses = self._wait(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> list[str]:
        for number in range(len(self._manners)):
            serve = partial(self._serve, number)
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self._servers.append(server)
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        return [f"http://127.0.0.1:{port}" for port in ports]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._open):
            writer.close()
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open.add(writer)
        self.served.add(number)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    path = await _request(reader)
                    if self._manners[number] == "deaf":
                        await asyncio.sleep(3600)
                    writer.write(self._answer(number, path))
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, number: int, path: str) -> bytes:
        if path == _SNAPSHOT:
            self.asked[number] += 1
            stuck = self._manners[number] == "stuck"
            body = self._snapshot[: len(self._snapshot) // 2] if stuck else self._snapshot
            return _head("application/gzip", len(self._snapshot)) + body
        body = json.dumps(self._says(number, path)).encode()
        return _head("application/json", len(body)) + body

    def _says(self, number: int, path: str) -> dict[str, Any]:
        match path:
            case "/v1/sys/leader":
                address = self.addresses[number]
                return {"ha_enabled": True, "is_self": True, "leader_address": address}
            case "/v1/sys/seal-status":
                return {"initialized": True, "sealed": False, "cluster_id": f"crowd-{number}"}
            case _:
                token = {"client_token": f"s.{number:024}", "lease_duration": 3600}
                return {"auth": {**token, "renewable": True}}


def _head(kind: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
    return head.split(" ")[1]
