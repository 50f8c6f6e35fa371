"""What a store answers is bounded in size and time, and its lists come to an end."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.raw_server import OK, Pieces, RawServer, body, dripping, endless, whole

from raft_snapshot_agent.destination.sidecars import read_small
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.http import xml_parts
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.s3.s3 import S3Settings

MIB = 1 << 20
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MULTI = b"HTTP/1.1 207 Multi-Status\r\nConnection: close\r\n"


def opened(kind: str, address: str, **more: Any) -> Storage:
    """Open a storage at an address, which asks nobody else."""
    clear = {"endpoint": address, "allow_http": True}
    kinds: dict[str, dict[str, Any]] = {
        "azure": {"container": "c-c-c", "account_name": "aaa", "account_key": "a2V5", **clear},
        "gcs": {"bucket": "b-b-b", "endpoint": address, "anonymous": True},
        "s3": {"bucket": "b-b-b", "access_key_id": "a", "secret_access_key": "k", **clear},
        "swift": {"container": "c", "storage_url": f"{address}/v1/a", "auth_token": "t"},
        "webdav": {"url": f"{address}/dav"},
    }
    found: Any = TypeAdapter(AnyStorage).validate_python(
        {"type": kind, "timeout": "20s", **kinds[kind], **more}
    )
    storage: Storage = found.open()
    return storage


KINDS = ["gcs", "swift", "webdav"]
LIES: dict[str, Pieces] = {
    "it never ends": endless(OK + b"\r\n", b"x" * 65536),
    "a chunk of minus one byte": endless(CHUNKED + b"-1\r\n", b"x" * 65536),
    "a huge length": endless(OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65536),
    "gzip": body(gzip.compress(b" " * MIB) * 100, b"Content-Encoding: gzip"),
    "no number": body(b"[]", b"Content-Length: x"),
    "nested": body(b"[" * 500_000),
    "nonsense": whole(b"\xff" * 100_000),
}


def ended(threads: set[threading.Thread]) -> None:
    """Make sure that all other threads end."""
    until(lambda: set(threading.enumerate()) <= threads, "the end of the threads", within=60)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_list_that_lies_is_one_clear_failure(kind: str, lie: Pieces) -> None:
    before = set(threading.enumerate())
    with RawServer(lie) as server:
        storage = opened(kind, server.address)
        tracemalloc.start()
        try:
            with pytest.raises(StorageError) as caught:
                await storage.entries()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert peak < 80 * MIB
    ended(before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", [dripping(OK + b"\r\n" * 200), dripping(b"H" * 200)])
async def test_a_list_that_drips_is_given_up(kind: str, lie: Pieces) -> None:
    before = set(threading.enumerate())
    with RawServer(lie) as server:
        with pytest.raises(StorageError, match="no answer in time"):
            await opened(kind, server.address, timeout="300ms").entries()
        ended(before | set(server._threads))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_object_that_drips_is_given_up_and_its_thread_ends(kind: str) -> None:
    before = set(threading.enumerate())
    # Google's objects are gone on with after a break, so it must answer the rest likewise.
    with RawServer(dripping(OK + b"\r\n" + b"x" * 1000, every=0.02)) as server:
        storage = opened(kind, server.address, timeout="600ms")
        with pytest.raises(StorageError):
            _ = [piece async for piece in storage.read("raft-snapshot-guard.json")]
        ended(before | set(server._threads))


async def test_a_body_that_nobody_takes_is_given_up() -> None:
    class Endless:
        def link(self, _: object) -> bool:
            return False

        def follow(self, position: int) -> int:
            return position + MIB

        def read(self, _: int, size: int) -> bytes:
            return bytes(size)

    before = set(threading.enumerate())
    with RawServer(lambda _: iter([60.0])) as server:
        storage = opened("webdav", server.address, timeout="300ms")
        with pytest.raises(StorageError, match="no answer in time"):
            await storage.put("a.snap", Endless())
        ended(before | set(server._threads))


def gcs_pages(fresh: bool, empty: bool) -> Pieces:
    count = itertools.count()

    def says(_: bytes) -> Iterator[bytes | float]:
        number = next(count) if fresh else 0
        items = [{"name": f"a{number}-{one}", "size": "1"} for one in range(0 if empty else 100)]
        page = {"items": items, "nextPageToken": f"t{number}"}
        return body(json.dumps(page).encode())(b"")

    return says


def swift_pages(fresh: bool, empty: bool) -> Pieces:
    count = itertools.count()

    def says(_: bytes) -> Iterator[bytes | float]:
        number = next(count) if fresh else 0
        about = {"bytes": 1, "last_modified": "2026-01-01T00:00:00"}
        page: list[dict[str, Any]] = [
            {"name": f"a{number}-{one}", **about} for one in range(1 if empty else 100)
        ]
        return body(json.dumps(page).encode())(b"")

    return says


@pytest.mark.parametrize("pages", [gcs_pages, swift_pages], ids=["gcs", "swift"])
@pytest.mark.parametrize(
    ("fresh", "empty", "why"),
    [
        (False, False, "do not come to an end"),
        (True, False, "more than 450 objects"),
        (False, True, "do not come to an end"),
    ],
)
async def test_pages_that_do_not_end_are_told(
    pages: Any, fresh: bool, empty: bool, why: str
) -> None:
    kind = "gcs" if pages is gcs_pages else "swift"
    with RawServer(pages(fresh, empty)) as server:
        with pytest.raises(StorageError, match=why) as caught:
            await opened(kind, server.address, max_objects=450).entries()
        assert len(server.asked) < 20
    assert caught.value.hint


def multistatus(*names: str, size: str = "5") -> bytes:
    one = (
        "<d:response><d:href>/dav/{}</d:href><d:propstat><d:prop><d:getcontentlength>{}"
        "</d:getcontentlength></d:prop></d:propstat></d:response>"
    )
    inner = "".join(one.format(name, size) for name in names)
    return f'<d:multistatus xmlns:d="DAV:">{inner}</d:multistatus>'.encode()


def webdav(document: bytes) -> Pieces:
    return whole(MULTI + b"Content-Length: %d\r\n\r\n" % len(document) + document)


async def test_a_folder_with_too_many_files_is_told() -> None:
    with RawServer(webdav(multistatus(*map(str, range(60))))) as server:
        assert len(await opened("webdav", server.address).entries()) == 60
        with pytest.raises(StorageError, match="more than 50 objects") as caught:
            await opened("webdav", server.address, max_objects=50).entries()
    assert "max_objects" in caught.value.hint


ODD = ["..", "%00", "p%2F%2Fx", "%ff%fe", "a" * 20_000, "http://[", "%0a", "&#x202e;", "//x", "?#"]


async def test_names_of_any_form_do_not_end_a_list() -> None:
    names = [*ODD, "raft-snapshot-20261123T153000Z-i4711.snap"]
    with RawServer(webdav(multistatus(*names))) as server:
        found = await opened("webdav", server.address).entries()
    assert names[-1] in {one.name for one in found}


@pytest.mark.parametrize("kind", ["gcs", "swift"])
async def test_keys_of_any_form_do_not_end_a_list(kind: str) -> None:
    names = ["..", "a\x00b", "p//x", "\udcff", "a" * 20_000, "\n", "\u202e", "", "/", "ours.snap"]
    about = {"bytes": 1, "size": "1", "last_modified": "2026-01-01T00:00:00"}
    page = [{"name": name, **about} for name in names]

    def says(head: bytes) -> Iterator[bytes | float]:
        again = re.search(rb"marker=[^& ]", head)
        document: Any = {"items": page} if kind == "gcs" else [] if again else page
        return body(json.dumps(document).encode())(head)

    with RawServer(says) as server:
        found = await opened(kind, server.address).entries()
    assert "ours.snap" in {one.name for one in found}


@pytest.mark.parametrize("size", ["-5", "1e9", "9" * 30, "\u0661", "x"])
async def test_a_size_that_is_none_is_no_empty_file(size: str) -> None:
    with (
        RawServer(webdav(multistatus("a", size=size))) as server,
        pytest.raises(StorageError, match="is not valid"),
    ):
        await opened("webdav", server.address).entries()


ENTITY = '<?xml version="1.0" encoding="{}"?><!DOCTYPE x [<!ENTITY a "boom">]><x><y>&a;</y></x>'
UTF_7 = ENTITY.format("utf-7").replace("<", "+ADw-").replace(">", "+AD4-").encode()


@pytest.mark.parametrize(
    "document",
    [
        *(ENTITY.format(name).encode(name) for name in ("utf-8", "utf-16", "utf-32", "cp037")),
        ENTITY.format("utf-16").encode("utf-16-be"),
        ENTITY.format("utf-16le").encode("utf-16-le"),
        UTF_7,
        b"\xef\xbb\xbf" + ENTITY.format("utf-8").encode(),
        b"<!DOCTYPE x SYSTEM 'http://127.0.0.1/x'><x/>",
        "<?xml version='1.0' encoding='latin-1'?><x><y>\xe9</y></x>".encode("latin-1"),
        b"<x><y>" + b"<z>" * 100_000,
        b"<x><y>" + b"<z/>" * 100_000 + b"</y></x>",
        b"<x><y " + b" ".join(b"a%d='b'" % n for n in range(100_000)) + b"/></x>",
        b"<x><y>",
        b"",
        b"\x00",
    ],
)
def test_a_document_with_more_than_plain_elements_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"\bits? "):
        list(parts(document, {"y"}))


def test_only_what_is_wanted_is_kept() -> None:
    junk = b"<j/>" * 500_000
    tracemalloc.start()
    try:
        found = list(parts(b"<x>" + junk + b"<y>1</y><n:y xmlns:n='N'>2</n:y></x>", {"y"}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(one.tag, one.text) for one in found] == [("y", "1"), ("{N}y", "2")]
    assert peak < 20 * MIB


def test_what_is_nested_deeply_is_passed_over() -> None:
    deep = b"<a>" * 9000 + b"</a>" * 9000
    assert [one.text for one in parts(b"<x>" + deep + b"<y>1</y>" + deep + b"</x>", {"y"})] == ["1"]


def calls(work: Callable[[], object]) -> int:
    """Count the calls of the parser's functions; a collection of garbage may call others."""
    count = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename == xml_parts.__file__

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_an_element_costs_no_call() -> None:
    few, many = (b"<x><y>" + b"<z>1</z>" * count + b"</y></x>" for count in (1, 1000))
    assert calls(lambda: [*parts(few, {"y"})]) == calls(lambda: [*parts(many, {"y"})])


def s3(address: str, **more: Any) -> Storage:
    settings = S3Settings(
        type="s3", bucket="b-b", endpoint=address, region="r",
        access_key_id=Secret("a"), secret_access_key=Secret("b"), **more,
    )  # fmt: skip
    return settings.open()


def huge(length: bytes) -> Pieces:
    about = (
        b'Last-Modified: Mon, 05 Jan 2026 00:00:00 GMT\r\nETag: "a"\r\nContent-Length: %b\r\n\r\n'
    )
    return endless(OK + about % length, b" " * 65536)


@pytest.mark.parametrize("kind", ["s3", *KINDS])
async def test_a_manifest_of_two_gigabytes_is_cut_while_it_comes(kind: str) -> None:
    with RawServer(huge(b"2147483648")) as server:
        storage = s3(server.address) if kind == "s3" else opened(kind, server.address)
        text = await read_small(storage, "raft-snapshot-guard.json")
        assert len(text) == MIB
        assert server.sent < 64 * MIB


async def test_a_lease_record_of_two_gigabytes_is_not_fetched() -> None:
    with RawServer(huge(b"2147483648")) as server:
        settings = S3Settings(
            type="s3", bucket="b-b", endpoint=server.address, region="r",
            access_key_id=Secret("a"), secret_access_key=Secret("b"),
        )  # fmt: skip
        found = await settings.lease_store("lease").read()
        assert server.sent < 16 * MIB
    assert found is not None
    assert found.record.holder == "unknown"
