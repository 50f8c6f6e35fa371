"""A store that lies about a lease's record: nothing is taken of it that no agent would have written.

What an agent does with such a record is tried in tests/unit/lease; here it comes over the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.adversary.clouds import AzureStore, GcsStore
from tests.adversary.s3 import Store
from tests.adversary.tricks import (
    SHOUT,
    anything,
    bomb,
    declares,
    drip,
    endless,
    flood,
    redirects,
    says,
)
from tests.contract.destinations import SETTINGS
from tests.http_proxy import Behaviour

from raft_snapshot_agent.core.leases.lease import LeaseStore
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import StorageError

MINE = Record("mine", 1, 0, 15.0)
VERSION = (("ETag", '"1"'), ("x-goog-generation", "1"))
HONEST = json.loads(Record("other", 3, 7, 15.0, "2026-11-25T12:00:00Z", {}).to_json())


def record(**fields: Any) -> bytes:
    return json.dumps(HONEST | fields).encode()


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "a page": b"<html>Welcome</html>",
    "binary": bytes(range(256)) * 40,
    "UTF-16": json.dumps(HONEST).encode("utf-16"),
    "a list": b"[]",
    "nested": b'{"holder": ' * 5000,
    "huge": record(stored={f"storage-{one}": "2026-11-25T12:00:00Z" for one in range(5000)}),
    "a date that overflows": record(
        taken_at="9999-12-31T23:59:59-14:00", stored={"s3": "9999-12-31T23:59:59-14:00"}
    ),
    "a date from the beginning": record(stored={"s3": "0001-01-01T00:00:00+14:00"}),
    "a date that is none": record(taken_at=7, stored={"s3": ["x"], "local": SHOUT}),
    "seconds below all": record(seconds=-1),
    "seconds beyond all": record(seconds=10**300),
    "seconds beyond numbers": record(seconds=0).replace(b'"seconds": 0', b'"seconds": 1e999'),
    "seconds that are none": record(seconds="1"),
    "seconds that are NaN": record(seconds=0).replace(b'"seconds": 0', b'"seconds": NaN'),
    "a term beyond all": record(term=2**70),
    "a term that is none": record(term=True),
    "a beat of 5000 digits": record(beat=0).replace(b'"beat": 0', b'"beat": ' + b"9" * 5000),
    "a holder that shouts": record(holder=SHOUT),
    "a holder that is a list": record(holder=[1]),
    "stored that is a list": record(stored=["s3"]),
    "half a character": record(holder="\ud800"),
}
READS: dict[str, Behaviour] = {
    **{name: says(200, content, *VERSION) for name, content in CONTENTS.items()},
    "no version": says(200, record()),
    "a version that shouts": says(
        200, record(), ("ETag", "\x1b[2J"), ("x-goog-generation", "\x1b")
    ),
    "a version of 50 KiB": says(200, record(), ("ETag", "e" * 50_000)),
    "2 GiB": flood(),
    "no end": endless(b"{"),
    "a drip": drip(b"{"),
    "a bomb": bomb(),
    "a length that is none": declares("-5", b"{}"),
    "nothing but 500": says(500, b""),
    "204": says(204, b""),
}
WRITES: dict[str, Behaviour] = {
    "takes it without a version": says(200, b""),
    "takes it with a page": says(200, b"<html>Welcome</html>"),
    "takes it with an error inside": says(200, b"<Error><Code>InternalError</Code></Error>"),
    "says that a lock forbids it": says(409, b"<Error><Code>ObjectLocked</Code></Error>"),
    "says that another was there": says(412, b""),
    "complains in 2 GiB": flood(status=500),
    "answers with 2 GiB": flood(),
    "knows no such request": says(501, b""),
}


@pytest.fixture(params=[Store, AzureStore, GcsStore], ids=["s3", "azure", "gcs"])
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    with request.param("liar") as one:
        yield one


def opened(store: Any) -> LeaseStore:
    settings = {**store.settings(), "timeout": "1s"}
    lease_store: LeaseStore = SETTINGS.validate_python(settings).lease_store("lease")
    return lease_store


@pytest.mark.parametrize("name", READS)
async def test_what_is_read_is_what_an_agent_could_have_written(store: Any, name: str) -> None:
    store.rules = [(anything, READS[name])]
    lease_store = opened(store)
    try:
        found = await lease_store.read()
    except StorageError as error:
        assert_clean(error)
        return
    if found is not None:
        one = found.record
        assert one.holder.isprintable()
        assert len(one.holder) <= 300
        assert 1.0 <= one.seconds <= 3600.0
        assert 0 <= one.term < 1 << 31
        assert 0 <= one.beat < 1 << 31
        assert all(2015 <= at.year < 2200 for at in one.stored_at().values())
        assert Record.from_json(one.to_json()) == one
        store.rules = [(anything, says(412, b""))]
        await ends_clean(lambda: lease_store.write(MINE, found.version))


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("expected", [None, '"1"'])
async def test_a_write_that_is_not_proven_is_none(
    store: Any, name: str, expected: str | None
) -> None:
    store.rules = [(anything, WRITES[name])]
    version = await ends_clean(lambda: opened(store).write(MINE, expected))
    # A version that was told is what the next write insists on; no other word is taken for one.
    assert version is None


async def test_nobody_else_is_asked(store: Any) -> None:
    with Store("elsewhere") as elsewhere:
        store.rules = [(anything, redirects(307, elsewhere.address))]
        lease_store = opened(store)
        await ends_clean(lease_store.read)
        await ends_clean(lambda: lease_store.write(MINE, None))
        assert elsewhere.requests == []


async def ends_clean(ask: Callable[[], Any]) -> object:
    """Ask, and return the answer; a refusal is none."""
    try:
        return await ask()
    except StorageError as error:
        assert_clean(error)
        return None


def assert_clean(error: StorageError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1500
