"""Who is slow, large or many gets nothing, and takes nothing from the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.unit.web.serving import WITHIN, Served, issue, rest, serve, trust

from raft_snapshot_agent.web.protocol import BoundedProtocol

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


class Hasty(BoundedProtocol):
    request_within = 0.3
    read_within = 0.3


class Patient(BoundedProtocol):
    request_within = 600.0
    read_within = 600.0


@asynccontextmanager
async def connected(
    web: Served,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def drip(writer: asyncio.StreamWriter, letters: bytes) -> None:
    """Send one byte after another for ever."""
    try:
        while True:
            writer.write(letters)
            await writer.drain()
            await asyncio.sleep(0.02)
    except ConnectionError:
        return


async def answers(web: Served) -> None:
    """Wait until the server has room again."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                if (await web.ask("/healthz")).status == 200:
                    return
            except (ConnectionError, IndexError, ValueError):
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("begun", [b"", b"G", HEAD, HEAD + b"X: "])
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(begun: bytes) -> None:
    async with serve(protocol=Hasty) as web, connected(web) as (reader, writer):
        writer.write(begun)
        assert await rest(reader) == b""
        await answers(web)


@pytest.mark.parametrize(
    ("begun", "letters"),
    [
        (HEAD, b"X-Slow: 1\r\n"),
        (b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n", b"x"),
    ],
)
async def test_a_request_that_goes_on_for_ever_is_cut_off(begun: bytes, letters: bytes) -> None:
    async with serve(protocol=Hasty) as web, connected(web) as (reader, writer):
        writer.write(begun)
        dripping = asyncio.create_task(drip(writer, letters))
        await rest(reader)
        await asyncio.wait_for(dripping, WITHIN)


async def test_the_time_of_the_second_request_runs_as_that_of_the_first() -> None:
    async with serve(protocol=Hasty) as web:
        answer = b""
        while not answer:  # on a busy machine the first may come too late, too
            async with connected(web) as (reader, writer):
                writer.write(HEAD + b"\r\n" + HEAD)
                answer = await rest(reader)
        assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"X: " + b"x" * 60_000 + b"\r\n\r\n",
        HEAD + b"X: y\r\n" * 6_000 + b"\r\n",
        b"GET /" + b"x" * 60_000,
        b"GET /" + b"x" * 60_000 + HEAD[12:] + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_what_is_no_request_or_too_large_is_refused(raw: bytes) -> None:
    async with serve(protocol=Hasty) as web:
        async with connected(web) as (reader, writer):
            writer.write(raw)
            answer = await rest(reader)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
        await answers(web)


async def test_more_connections_than_are_let_in_are_closed_and_room_comes_back() -> None:
    async with serve(protocol=Patient, most=5) as web:
        held = [await asyncio.open_connection("127.0.0.1", web.port) for _ in range(5)]
        for _ in range(50):
            async with connected(web) as (reader, _):
                assert await rest(reader) == b""
        for _, writer in held:
            writer.close()
        await answers(web)


async def test_a_reader_that_does_not_read_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.api.write_json", lambda _: b"x" * 20_000_000)
    async with serve(protocol=Hasty, most=1) as web:
        stuck = socket.socket()
        with stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stuck, ("127.0.0.1", web.port))
            await loop.sock_sendall(
                stuck, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            await answers(web)


async def test_a_reader_with_tls_that_does_not_read_loses_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.api.write_json", lambda _: b"x" * 20_000_000)
    authority = trustme.CA()
    async with serve(tls=issue(authority, tmp_path), protocol=Hasty, most=1) as web:
        web.trust = trust(authority)
        _, writer = await web.connect()  # whose stream reads 128 KiB ahead
        writer.write(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        await answers(web)
        writer.transport.abort()


async def test_readers_that_wait_for_events_leave_when_they_are_gone() -> None:
    async with serve(protocol=Patient, most=6) as web:
        for _ in range(12):
            async with connected(web) as (reader, writer):
                writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                async with asyncio.timeout(WITHIN):
                    await reader.readuntil(b"retry")
            await answers(web)


async def test_the_loop_goes_on_while_a_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    release, ticks = asyncio.Event(), 0
    loop = asyncio.get_running_loop()

    def wait(_: Any) -> str:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(WITHIN)
        return "done"

    monkeypatch.setattr("raft_snapshot_agent.web.api.document", wait)
    async with serve() as web:
        asked = [asyncio.create_task(web.ask("/api/v1/status")) for _ in range(20)]
        while ticks < 50:  # as the loops of the clusters would
            await asyncio.sleep(0)
            ticks += 1
        assert (await web.ask("/healthz")).status == 200
        release.set()
        assert {one.json for one in await asyncio.gather(*asked)} == {"done"}
