"""This host's clock against a store's, which dates every answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.http_proxy import Exchange, HttpProxy
from tests.unit.doctor.test_doctor import context

from raft_snapshot_agent.doctor.clocks import clocks
from raft_snapshot_agent.doctor.results import CheckResult


async def found(storage: dict[str, Any]) -> list[CheckResult]:
    return (await clocks(context(storages=[storage])))[1:]


@pytest.mark.parametrize(
    ("off", "status", "told"),
    [
        (timedelta(0), "success", "agree on the time"),
        (timedelta(hours=1), "warning", "s behind that of"),
        (timedelta(hours=-1), "warning", "s ahead of that of"),
        (None, None, ""),
    ],
)
@pytest.mark.parametrize("kind", ["webdav", "s3", "swift"])
async def test_a_store_dates_its_answers(
    off: timedelta | None, status: str | None, told: str, kind: str
) -> None:
    def dated(exchange: Exchange) -> None:
        headers = [("Content-Length", "0")]
        if off is not None:
            headers.append(("Date", format_datetime(datetime.now(UTC) + off, usegmt=True)))
        exchange.answer(403, headers, b"")

    store = HttpProxy("http://127.0.0.1:1", lambda _: dated)
    settings = {
        "webdav": {"url": f"{store.address}/dav"},
        "s3": {"bucket": "b", "endpoint": store.address},
        "swift": {"container": "c", "auth_url": f"{store.address}/v3"},
    }[kind]
    try:
        results = await found({"type": kind, **settings})
    finally:
        store.stop()
    assert [result.status for result in results] == ([] if status is None else [status])
    assert all(told in result.message for result in results)


@pytest.mark.parametrize("kind", ["webdav", "s3", "swift"])
async def test_the_proxy_of_the_storage_is_used(kind: str) -> None:
    def dated(exchange: Exchange) -> None:
        headers = [("Content-Length", "0"), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")]
        exchange.answer(403, headers, b"")

    there = "http://store.invalid:81"
    settings = {
        "webdav": {"url": f"{there}/dav"},
        "s3": {"bucket": "b", "endpoint": there},
        "swift": {"container": "c", "auth_url": f"{there}/v3"},
    }[kind]
    with HttpProxy("http://127.0.0.1:1", lambda _: dated) as proxy:
        more = {"type": kind, "allow_http": True, "proxy": proxy.address}
        (result,) = await found({**settings, **more})
        assert [request.target.startswith(there) for request in proxy.requests] == [True]
    assert "that of" in result.message


@pytest.mark.parametrize(
    "storage",
    [
        {"type": "local", "path": "/nonexistent"},
        {"type": "webdav", "url": "http://127.0.0.1:1/dav"},
        {"type": "sftp", "host": "h", "path": "/p", "username": "u", "password": "p"},
        {"type": "azure", "container": "backups", "account_name": "backups"},
    ],
)
async def test_one_that_tells_no_time_is_passed_over(storage: dict[str, Any]) -> None:
    assert await found(storage) == []
