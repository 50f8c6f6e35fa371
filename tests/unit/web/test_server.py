"""Where it listens, how it fails, and what it says then."""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import trustme
from tests.unit.web.serving import WITHIN, Lines, Served, issue, rest, serve, trust
from tests.unit.web.statuses import NOW, agent

from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.web import WebSettings
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.observe.board import Companion, StatusBoard
from raft_snapshot_agent.observe.logs import Log, configure
from raft_snapshot_agent.service import lasting
from raft_snapshot_agent.service.companions import open_page
from raft_snapshot_agent.service.lasting import keep_running
from raft_snapshot_agent.web.server import WebServer

TOKEN = "0123456789abcdef-web"


def fleet(**settings: Any) -> LoadedFleet:
    web = WebSettings.model_validate(settings)
    return LoadedFleet({"": Loaded(Config())}, web=web)


def begin(log: Lines, **settings: Any) -> tuple[Companion, ...]:
    return open_page(fleet(**settings), cast("Log", log), lambda _: True)


def test_a_taken_port_is_told_and_costs_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        log = Lines()
        assert begin(log, listen=listen) == ()
        (line,) = log.lines
        assert line.startswith("error: The page is not served, snapshots are not affected")
        assert f"port {other.getsockname()[1]}" in line
        assert "web.listen" in line
        with pytest.raises(AgentError, match="cannot listen"):
            begin(log, listen=listen, required=True)


@pytest.mark.parametrize("required", [False, True])
def test_what_is_wrong_with_token_or_certificate_is_told_and_costs_nothing(
    tmp_path: Path, *, required: bool
) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    issued = [trustme.CA().issue_cert("localhost") for _ in range(2)]
    issued[0].cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued[1].private_key_pem.write_to_path(tmp_path / "key.pem")
    pairs = [
        ("absent.pem", "key.pem"),
        ("short", "key.pem"),
        ("cert.pem", "short"),
        ("cert.pem", "key.pem"),
        ("folder", "key.pem"),
        ("cert.pem", "folder"),
        ("pipe", "key.pem"),
        ("cert.pem", "pipe"),
    ]
    faults: list[dict[str, Any]] = [
        {"token": f"file://{tmp_path}/absent"},
        {"token": f"file://{tmp_path}/short"},
        *({"tls": {"cert": tmp_path / cert, "key": tmp_path / key}} for cert, key in pairs),
    ]
    for wrong in faults:
        log, settings = Lines(), {"listen": "127.0.0.1:0", "required": required, **wrong}
        if required:
            with pytest.raises(AgentError):
                begin(log, **settings)
            continue
        assert begin(log, **settings) == ()
        (line,) = log.lines
        assert "snapshots are not affected: web." in line
        assert "\n" not in line


def test_without_the_section_nothing_is_served() -> None:
    assert open_page(LoadedFleet({"": Loaded(Config())}), cast("Log", Lines()), bool) == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "0.0.0.0:0"}, "Anyone who reaches port"),
        ({"listen": "0.0.0.0:0", "token": TOKEN}, "sent without TLS"),
        ({"listen": "127.0.0.1:0"}, ""),
        ({"listen": "127.0.0.1:0", "token": TOKEN}, ""),
    ],
)
async def test_a_page_for_everybody_is_told_loudly(settings: dict[str, Any], said: str) -> None:
    async with serve(**settings) as web:
        await web.ask("/healthz")
        assert web.log.lines[0].startswith("info: The page is at http://")
        assert [said in one for one in web.log.lines[1:]] == ([True] if said else [])
        assert TOKEN not in "".join(web.log.lines)


async def _serial(web: Served) -> int | None:
    _, writer = await web.connect()
    shown: dict[str, Any] = writer.get_extra_info("peercert")
    writer.close()
    return int(shown["serialNumber"], 16)


async def test_a_certificate_that_is_replaced_needs_no_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.server._ROTATION", 0.01)
    authority = trustme.CA()
    async with serve(tls=issue(authority, tmp_path)) as web:
        web.trust = trust(authority)
        first = await _serial(web)
        issue(authority, tmp_path)
        async with asyncio.timeout(WITHIN):
            while await _serial(web) == first:
                pass


async def test_with_tls_every_answer_has_its_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.api.write_json", lambda _: b"x" * 3_000_000)
    authority = trustme.CA()
    async with serve(tls=issue(authority, tmp_path)) as web:
        web.trust = trust(authority)
        assert (await web.ask("/healthz")).text == "healthy\n"
        assert len((await web.ask("/api/v1/status")).body) == 3_000_000
        for path in ("/", "/metrics", "/style.css"):
            answer = await web.ask(path)
            assert len(answer.body) == int(answer.headers["content-length"])
        reader, writer = await web.connect()
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(WITHIN):
            await reader.readuntil(b"event: status")
        writer.close()


async def test_who_does_not_shake_hands_is_cut_off_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.listener.HANDSHAKE", 0.3)
    async with serve(tls=issue(trustme.CA(), tmp_path), most=2) as web:
        for _ in range(6):
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            assert await rest(reader) == b""
            writer.close()


@pytest.mark.parametrize(
    ("listen", "host", "private"),
    [
        ("127.0.0.1:8299", "127.0.0.1", True),
        ("[::1]:8299", "::1", True),
        ("localhost:0", "localhost", True),
        ("127.9.9.9:1", "127.9.9.9", True),
        ("0.0.0.0:8299", "0.0.0.0", False),
        ("[::]:8299", "::", False),
        ("vault-1.example.org:8299", "vault-1.example.org", False),
    ],
)
def test_addresses(listen: str, host: str, private: bool) -> None:
    settings = WebSettings(listen=listen)
    assert (settings.host, settings.is_private) == (host, private)


async def test_a_page_that_failed_is_served_again(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("text", "error")
    told = WebSettings.model_validate({"listen": "127.0.0.1:0"})
    server, board, fails = (
        WebServer(told, cast("Log", Lines())),
        StatusBoard(agent(), clock=lambda: NOW),
        anyio.Event(),
    )
    server.listen()
    served, failures = Served(board, Lines(), server.port), 0

    async def fail() -> None:
        nonlocal failures
        await fails.wait()
        failures += 1
        if failures < 3:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server, "_follow_files", fail)
    monkeypatch.setattr(lasting, "_PAUSE", 0.01)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_running, partial(server.run, board))
            assert (await served.ask("/healthz")).status == 200
            fails.set()
            while failures < 3:  # noqa: ASYNC110 - until it works again
                await anyio.sleep(0.01)
            assert (await served.ask("/healthz")).status == 200
            tasks.cancel_scope.cancel()
