"""A download that breaks resumes, or fails: its part is never taken for the whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.raw_server import OK, Pieces, RawServer
from tests.unit.storage.test_bounds import opened

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http import download, patience

RESUMING = ["azure", "gcs", "s3", "swift"]
NAME = "raft-snapshot-guard.json"
HALF, REST = b"x" * 500, b"y" * 500
CUT_OFF = {
    "with its length": b"Content-Length: 1000\r\n\r\n" + HALF,
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + HALF + b"\r\n1f4\r\nyy",
    "in chunks, between two": b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + HALF + b"\r\n",
}
REFUSALS = {
    "503": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "the whole again": OK + b"Content-Length: 1000\r\n\r\n" + HALF + REST,
    "nothing": b"",
}
RESUMED = b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n%b'


def cut_off(how: bytes, then: Pieces) -> Pieces:
    """Break the first answer off, and let another answer all that come after it."""
    count = itertools.count()

    def says(head: bytes) -> Iterator[bytes | float]:
        if next(count):
            yield from then(head)
        else:
            yield OK + b'ETag: "a"\r\nx-goog-generation: 5\r\n' + how

    return says


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(patience, "_WAITS", (0.0, 0.0))


async def read(kind: str, address: str) -> bytes:
    storage = opened(kind, address, timeout="5s")
    return b"".join([piece async for piece in storage.read(NAME)])


@pytest.mark.parametrize("kind", RESUMING)
@pytest.mark.parametrize("how", CUT_OFF.values(), ids=CUT_OFF)
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_part_that_cannot_be_resumed_is_not_the_whole(
    kind: str, how: bytes, refusal: bytes
) -> None:
    # Where nothing was read yet, the whole is what was asked for.
    with RawServer(cut_off(how, lambda _: iter([refusal]))) as server, suppress(StorageError):
        assert await read(kind, server.address) == HALF + REST


@pytest.mark.parametrize("how", CUT_OFF.values(), ids=CUT_OFF)
async def test_a_part_is_not_the_whole_where_nothing_resumes(how: bytes) -> None:
    with (
        RawServer(cut_off(how, lambda _: iter([b""]))) as server,
        pytest.raises(StorageError),
    ):
        await read("webdav", server.address)


@pytest.mark.parametrize("kind", RESUMING)
@pytest.mark.parametrize("how", CUT_OFF.values(), ids=CUT_OFF)
async def test_it_resumes_where_it_broke_off_and_after_refusals(kind: str, how: bytes) -> None:
    tries = itertools.count()

    def then(head: bytes) -> Iterator[bytes | float]:
        if next(tries) < 2:
            yield REFUSALS["503"]
            return
        start = int(head.lower().partition(b"range: bytes=")[2].partition(b"-")[0] or 0)
        rest = (HALF + REST)[start:]
        yield RESUMED % (len(rest), rest)

    with RawServer(cut_off(how, then)) as server:
        assert await read(kind, server.address) == HALF + REST
