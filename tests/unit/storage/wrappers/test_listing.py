from __future__ import annotations

from tests.contract.destinations import S3
from tests.contract.sources import NAME
from tests.http_proxy import Exchange
from tests.s3_faults import S3Faults
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.errors import StorageDenied
from raft_snapshot_agent.storage.base import BytesSource, Entry
from raft_snapshot_agent.storage.wrappers.listing import look_for

AT_ONCE = (0.0, 0.0, 0.0)


class Lagging(MemoryStorage):
    """A storage whose lists are as old as a test wants."""

    def __init__(self, lists: int) -> None:
        super().__init__()
        self.lists = lists

    async def entries(self) -> list[Entry]:
        self.lists -= 1
        return [] if self.lists >= 0 else await super().entries()


class Unlisted(MemoryStorage):
    async def entries(self) -> list[Entry]:
        raise StorageDenied("no list")


async def test_nothing_is_said_of_what_is_listed() -> None:
    storage = MemoryStorage()
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert (await look_for(storage, NAME, 8, AT_ONCE)).warning == ""


async def test_a_list_that_lags_behind_is_looked_at_again() -> None:
    storage = Lagging(2)
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert (await look_for(storage, NAME, 8, AT_ONCE)).warning == ""


async def test_what_the_list_never_shows_is_told() -> None:
    storage = Lagging(9)
    await storage.put(NAME, BytesSource(b"snapshot"))
    assert "list does not show it" in (await look_for(storage, NAME, 8, AT_ONCE)).warning


async def test_another_size_is_told() -> None:
    storage = MemoryStorage()
    await storage.put(NAME, BytesSource(b"snap"))
    assert "shows it with 4 bytes, not 8" in (await look_for(storage, NAME, 8, AT_ONCE)).warning


async def test_who_may_not_list_is_told_nothing_here() -> None:
    assert (await look_for(Unlisted(), NAME, 8, AT_ONCE)).warning == ""


async def test_a_proxy_that_sends_uploads_elsewhere_is_noticed(s3: S3, faults: S3Faults) -> None:
    def elsewhere(exchange: Exchange) -> None:
        headers = [("ETag", '"x"'), ("Last-Modified", "Mon, 23 Nov 2026 15:30:00 GMT")]
        size = "8" if exchange.request.method == "HEAD" else "0"
        exchange.answer(200, [*headers, ("Content-Length", size)], b"")

    faults.behave(lambda request: request.path.endswith(NAME), elsewhere)
    storage = s3.open(endpoint=faults.address)
    assert await storage.put(NAME, BytesSource(b"snapshot")) == 8
    warning = (await look_for(storage, NAME, 8, AT_ONCE)).warning
    assert warning.startswith(f"s3://{s3.bucket}/{NAME} is stored, but")
