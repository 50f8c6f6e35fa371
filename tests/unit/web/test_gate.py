"""Who is refused, and what every answer carries."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.serving import Served, serve

TOKEN = "0123456789abcdef-web"


async def test_every_answer_carries_the_headers_that_bind_a_browser() -> None:
    async with serve() as web:
        for path in ("/healthz", "/api/v1/status", "/nothing"):
            headers = (await web.ask(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("[::1]:8299", 200),
        ("localhost", 200),
        ("LOCALHOST:8299", 200),
        ("vault-1.example.org:8299", 200),
        ("192.0.2.7", 200),
        ("evil.example.net", 421),
        ("127.0.0.1.evil.example.net", 421),
        ("localhost.evil.example.net:8299", 421),
        ("", 421),
    ],
)
async def test_a_name_of_another_site_is_refused(host: str, status: int) -> None:
    async with serve(hosts=("vault-1.example.org",)) as web:
        for path in ("/api/v1/status", "/healthz"):
            assert (await web.ask(path, Host=host)).status == status


FOREIGN: tuple[dict[str, Any], ...] = (
    {"Origin": "https://evil.example.net"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"},
    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
)


@pytest.mark.parametrize("headers", FOREIGN)
async def test_what_another_sites_page_asks_is_refused(headers: dict[str, Any]) -> None:
    async with serve(token=TOKEN, allow_snapshot=True) as web:
        known: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}", **headers}
        assert (await web.ask("/api/v1/status", **known)).status == 403
        assert (await web.ask("/api/v1/snapshot", "POST", **known)).status == 403
        assert web.asked == []


async def test_a_link_from_another_site_may_be_followed_but_changes_nothing() -> None:
    link: dict[str, Any] = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    async with serve() as web:
        assert (await web.ask("/api/v1/status", **link)).status == 200
        own: dict[str, Any] = {
            "Origin": f"http://127.0.0.1:{web.port}",
            "Sec_Fetch_Site": "same-origin",
        }
        assert (await web.ask("/api/v1/status", **own)).status == 200
    form: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}", **link}
    async with serve(token=TOKEN, allow_snapshot=True) as web:
        assert (await web.ask("/api/v1/snapshot", "POST", **form)).status == 403


async def test_with_a_token_all_but_the_probes_is_closed() -> None:
    password = b64encode(f"anybody:{TOKEN}".encode()).decode()
    async with serve(token=TOKEN, allow_snapshot=True) as web:
        for path in ("/", "/api/v1/status", "/api/v1/events", "/nothing"):
            answer = await web.ask(path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert TOKEN not in answer.text
        assert (await web.ask("/healthz")).status == 200
        assert (await web.ask("/api/v1/status", Authorization=f"bearer {TOKEN}")).status == 200
        assert (await web.ask("/api/v1/status", Authorization=f"Basic {password}")).status == 200
        assert (await web.ask(f"/api/v1/status?token={TOKEN}")).status == 401
        for wrong in ("Basic !!!", "Basic", "Bearer", "Bearer \xff", f"Token {TOKEN}"):
            assert (await web.ask("/api/v1/status", Authorization=wrong)).status == 401
        # A browser would repeat the password for a form on another page.
        posted = await web.ask("/api/v1/snapshot", "POST", Authorization=f"Basic {password}")
        assert posted.status == 401
        assert web.asked == []


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
async def test_a_token_with_letters_beyond_ascii_is_known(charset: str) -> None:
    token = "geheimes-Schlüsselwort-1"
    async with serve(token=token) as web:
        head = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        for given, status in ((token, 200), (token.replace("ü", "?"), 401)):
            request = f"{head}Authorization: Bearer {given}\r\n\r\n"
            assert (await web.send(request.encode(charset))).status == status
        password = b64encode(f"x:{token}".encode()).decode()
        assert (await web.ask("/api/v1/status", Authorization=f"Basic {password}")).status == 200


async def test_large_bodies_are_refused_unread() -> None:
    async with serve(token=TOKEN, allow_snapshot=True) as web:
        known: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}"}
        for length in ("4097", "99999999999999999999999", "-1"):
            answer = await web.ask("/api/v1/snapshot", "POST", Content_Length=length, **known)
            assert answer.status in (400, 413)
        chunk = b"1001\r\n" + b"x" * 4097 + b"\r\n0\r\n\r\n"
        head = (
            f"POST /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert (await web.send(head.encode() + chunk)).status == 413
        assert web.asked == []


async def test_a_defect_is_one_line_in_the_log_and_tells_nothing_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("raft_snapshot_agent.web.api.document", fail)
    async with serve() as web:
        answer = await web.ask("/api/v1/status")
        assert answer.status == 500
        assert "detail" not in answer.text
        (line,) = [one for one in web.log.lines if one.startswith("error")]
        assert "The page failed" in line
        assert (await web.ask("/healthz")).status == 200


async def _status(web: Served, token: str) -> int:
    return (await web.ask("/api/v1/status", Authorization=f"Bearer {token}")).status


async def test_a_token_that_is_replaced_needs_no_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.web.server._ROTATION", 0.01)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    async with serve(token=f"file://{file}") as web:
        assert await _status(web, TOKEN) == 200
        newer = f"{TOKEN}-newer"
        file.write_text(newer)
        while await _status(web, newer) != 200:  # the time-out of tests ends what never comes
            pass
        assert await _status(web, TOKEN) == 401
        file.unlink()
        while not any("keeps its previous token" in one for one in web.log.lines):
            await _status(web, newer)
        assert await _status(web, newer) == 200
        file.write_text(TOKEN)
        while not any("Resolved: The page keeps" in one for one in web.log.lines):
            await _status(web, newer)
        assert await _status(web, TOKEN) == 200
        assert sum("The page keeps" in one for one in web.log.lines) == 2
