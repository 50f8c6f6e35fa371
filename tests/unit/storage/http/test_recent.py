from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest
from pydantic import TypeAdapter
from tests.unit.processes import until

from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import LoginRefused, StorageUnavailable
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.http.recent import RecentClient

_SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyStorage)
_MANIFESTS = 40
_AT_ONCE = 8


class _Store:
    """A store whose objects are all alike; refuses a key that is not the present one."""

    def __init__(self) -> None:
        self.key = "key-1"
        self.opened = self.closed = 0
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                store.opened += 1
                super().setup()

            def finish(self) -> None:
                super().finish()
                store.closed += 1

            def do_GET(self) -> None:
                signed = self.headers.get("authorization", "")
                known = "Credential" not in signed or f"Credential={store.key}/" in signed
                self.send_response(200 if known else 403)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def storage(self, **settings: Any) -> Storage:
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        given = {"endpoint": endpoint, "allow_http": True, "timeout": "20s", **settings}
        opened: Storage = _SETTINGS.validate_python(given).open()
        return opened

    def s3(self, **settings: Any) -> Storage:
        secrets = {"access_key_id": "key-1", "secret_access_key": "secret-of-key", **settings}
        return self.storage(type="s3", bucket="backups", region="none", path_style=True, **secrets)


@pytest.fixture
def store() -> Iterator[_Store]:
    made = _Store()
    with made.server:
        Thread(target=made.server.serve_forever, daemon=True).start()
        yield made
        made.server.shutdown()


def _storage(store: _Store, kind: str) -> Storage:
    match kind:
        case "s3":
            return store.s3()
        case "azure":
            account = {"account_name": "account", "account_key": "a2V5LW9mLWFjY291bnQ="}
            return store.storage(type="azure", container="backups", **account)
        case _:
            return store.storage(type="gcs", bucket="backups", anonymous=True)


@pytest.mark.parametrize("kind", ["s3", "azure", "gcs"])
def test_many_manifests_are_read_over_few_connections(store: _Store, kind: str) -> None:
    async def read_all() -> None:
        storage = _storage(store, kind)
        await read_small(storage, "first.json")
        waiting = iter(range(_MANIFESTS))

        async def read() -> None:
            for number in waiting:
                await read_small(storage, f"{number}.json")

        async with anyio.create_task_group() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start_soon(read)

    anyio.run(read_all)
    assert store.opened <= _AT_ONCE
    until(lambda: store.closed == store.opened)


async def test_a_rotated_key_is_used_at_once(store: _Store, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("key-1")
    storage = store.s3(access_key_id=f"file://{key}")
    await read_small(storage, "a.json")
    store.key = "key-2"
    key.write_text("key-2")
    assert await read_small(storage, "b.json") == b"{}"


class _Clients:
    def __init__(self) -> None:
        self.made = 0

    def connect(self) -> int:
        self.made += 1
        return self.made


async def test_a_client_is_used_for_some_seconds() -> None:
    recent = RecentClient(_Clients().connect, seconds=0.05)
    assert [await recent.use(lambda one: one) for _ in range(2)] == [1, 1]
    await asyncio.sleep(0.1)
    assert recent._client is None
    assert await recent.use(lambda one: one) == 2


async def test_a_later_client_outlives_the_time_of_a_dropped_one() -> None:
    recent = RecentClient(_Clients().connect, seconds=3600)
    await recent.use(lambda one: one)
    recent.drop()
    await recent.use(lambda one: one)
    recent._drop_old(1)
    assert recent._client == 2


async def test_a_new_client_that_is_refused_is_not_replaced() -> None:
    clients = _Clients()

    def refuse(_: int) -> None:
        raise LoginRefused("refused")

    with pytest.raises(LoginRefused):
        await RecentClient(clients.connect).use(refuse)
    assert clients.made == 1


async def test_a_client_that_renews_its_login_is_asked_once() -> None:
    asked: list[str] = []

    def work(client: str) -> None:
        asked.append(client)
        if len(asked) > 1:
            raise LoginRefused("refused")

    recent = RecentClient(lambda: "the same")
    await recent.use(work)
    with pytest.raises(LoginRefused):
        await recent.use(work)
    assert len(asked) == 2


async def test_a_look_begins_with_a_new_client() -> None:
    recent = RecentClient(_Clients().connect)
    assert [await recent.use(lambda one: one, anew=True) for _ in range(2)] == [1, 2]
    assert await recent.use(lambda one: one) == 2


async def test_only_a_refusal_is_answered_by_a_new_client() -> None:
    clients = _Clients()
    recent = RecentClient(clients.connect)
    await recent.use(lambda one: one)

    def fail(_: int) -> None:
        raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable):
        await recent.use(fail)
    assert clients.made == 1
