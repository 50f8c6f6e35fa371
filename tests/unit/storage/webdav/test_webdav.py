from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import trustme
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS, Webdav
from tests.contract.sources import (
    MIB,
    NAME,
    Watched,
    beside,
    bytes_of,
    content,
    put_of,
)
from tests.holes import HOLES
from tests.http_proxy import Exchange, Request, pass_through, status
from tests.s3_faults import S3Faults
from tests.stores.fixtures import Served
from tests.stores.running import LOOPBACK, PASSWORD
from tests.tcp_proxy import CuttingTcpProxy
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Entry, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.webdav.multistatus import read_list
from raft_snapshot_agent.storage.webdav.webdav import WebdavSettings

BIG = 20 * MIB
RUN = "0a1b2c"


@pytest.fixture
def place(webdav: Served, tmp_path: Path) -> Webdav:
    return Webdav(webdav, tmp_path)


@pytest.fixture
def faults(place: Webdav) -> Iterator[S3Faults]:
    """The same server behind a proxy that fails what a test wants."""
    with S3Faults(f"http://{LOOPBACK}:{place.served.port}") as made:
        yield made


@pytest.fixture
def line(place: Webdav) -> Iterator[CuttingTcpProxy]:
    with CuttingTcpProxy(LOOPBACK, place.served.port) as made:
        yield made


def behind(place: Webdav, proxy: S3Faults | CuttingTcpProxy, **more: Any) -> Storage:
    return place.open(url=f"{proxy.address}{place.served.path}", **more)


def asked(method: str) -> Callable[[Request], bool]:
    return lambda request: request.method == method


def chunked(request: Request) -> bool:
    return request.method == "PUT" and "transfer-encoding" in request.headers


async def test_a_connection_cut_half_way_leaves_nothing(
    place: Webdav, line: CuttingTcpProxy, tmp_path: Path
) -> None:
    storage = behind(place, line)
    with Watched(tmp_path) as source:
        async with beside(source, _put_fails, storage, source):
            source.grow(bytes_of(BIG))
            await source.reached(BIG)
            line.refuse()
            line.restore()
            source.grow(bytes_of(BIG))
            source.accept()
    assert place.keys() == place.pending() == []


async def _put_fails(storage: Storage, source: Watched) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put(NAME, source)
    assert caught.value.hint


async def test_a_server_that_stalls_is_given_up_and_swept_later(
    place: Webdav, line: CuttingTcpProxy, tmp_path: Path
) -> None:
    storage = behind(place, line, timeout="1s")
    with Watched(tmp_path) as source:
        async with beside(source, _put_fails, storage, source):
            source.grow(bytes_of(BIG))
            await source.reached(BIG)
            line.stall()
            source.grow(bytes_of(BIG))
            source.accept()
    assert place.keys() == []
    line.refuse()
    line.restore()
    await place.open().sweep(Leftovers(frozenset({RUN})))
    assert place.pending() == []


@pytest.mark.parametrize("method", ["PUT", "MOVE"])
async def test_a_server_that_is_busy_is_worth_another_try_and_keeps_nothing(
    place: Webdav, faults: S3Faults, tmp_path: Path, method: str
) -> None:
    faults.fail(asked(method), 503, times=1)
    storage = behind(place, faults)
    with pytest.raises(StorageUnavailable):
        await put_of(storage, tmp_path, BIG)
    assert place.keys() == place.pending() == []
    assert await put_of(storage, tmp_path, BIG) == BIG


async def test_a_full_server_is_told(place: Webdav, faults: S3Faults, tmp_path: Path) -> None:
    faults.fail(asked("PUT"), 507)
    with pytest.raises(StorageFull):
        await put_of(behind(place, faults), tmp_path, BIG)
    assert place.keys() == place.pending() == []


async def test_a_snapshot_that_is_too_large_is_told(
    place: Webdav, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(asked("PUT"), 413)
    with pytest.raises(StorageError, match="too large for the server") as caught:
        await put_of(behind(place, faults), tmp_path, BIG)
    assert "limit" in caught.value.hint


@pytest.mark.parametrize("stored", [False, True])
async def test_a_server_without_chunks_gets_the_whole_length(
    place: Webdav, faults: S3Faults, tmp_path: Path, stored: bool
) -> None:
    """Some refuse them; some say yes and keep an empty file."""

    def keep_nothing(exchange: Exchange) -> None:
        exchange.answer(201, [("Content-Length", "0")], b"")

    if stored:
        faults.behave(chunked, keep_nothing)
    else:
        faults.fail(chunked, 411)
    storage = behind(place, faults)
    assert await put_of(storage, tmp_path, BIG) == BIG
    assert await content(storage) == bytes_of(BIG)


async def test_a_server_that_loses_bytes_keeps_nothing(
    place: Webdav, faults: S3Faults, tmp_path: Path
) -> None:
    def keep_nothing(exchange: Exchange) -> None:
        exchange.answer(201, [("Content-Length", "0")], b"")

    faults.behave(asked("PUT"), keep_nothing)
    with pytest.raises(StorageError, match="holds 0 bytes of 20971520 sent"):
        await put_of(behind(place, faults), tmp_path, BIG)
    assert place.keys() == []


@pytest.mark.parametrize("code", [200, 201])
async def test_a_move_that_did_not_happen_is_no_success(
    place: Webdav, faults: S3Faults, code: int
) -> None:
    """What stands before the server, such as a page for a login, may answer in its place."""
    faults.behave(asked("MOVE"), status(code, b"<html>Log in"))
    with pytest.raises(StorageError) as caught:
        await behind(place, faults).put(NAME, BytesSource(b"x"))
    assert "holds 0 bytes of 1 sent" in str(caught.value) or "200 OK" in str(caught.value)
    assert place.keys() == place.pending() == []


async def test_a_move_that_did_not_happen_keeps_the_old_file(
    place: Webdav, faults: S3Faults
) -> None:
    storage = behind(place, faults)
    await storage.put(NAME, BytesSource(b"the old one"))
    faults.behave(asked("MOVE"), status(201, b""))
    with pytest.raises(StorageError, match="holds 11 bytes of 3 sent"):
        await storage.put(NAME, BytesSource(b"new"))
    assert await content(storage) == b"the old one"


@pytest.mark.parametrize("folder", ["tü", "t%C3%BC", "a b", "a%20b", "日本"])
async def test_a_url_may_be_written_with_any_letters(place: Webdav, folder: str) -> None:
    name = unquote(folder)
    (place.root / name).mkdir()
    storage = place.open(url=f"{place.settings()['url']}/{folder}")
    await storage.put(NAME, BytesSource(b"abc"))
    await storage.put(NAME, BytesSource(b"abcd"))
    assert await storage.entries() == [Entry(NAME, 4)]
    assert place.keys() == [f"{name}/{NAME}"]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://dav.example.org:8443/a/b/", "https://dav.example.org:8443/a/b"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://[::1]/100%25/x", "https://[::1]/100%25/x"),
    ],
)
def test_a_url_is_sent_in_ascii(written: str, url: str) -> None:
    assert WebdavSettings(type="webdav", url=written).url == url


async def test_a_folder_that_could_not_be_created_is_created_later(
    place: Webdav, faults: S3Faults
) -> None:
    faults.fail(asked("MKCOL"), 503, times=1)
    storage = behind(place, faults, prefix="a/b/")
    with pytest.raises(StorageUnavailable, match="the store answered 503"):
        await storage.put(NAME, BytesSource(b"x"))
    await storage.put(NAME, BytesSource(b"x"))
    assert place.keys() == [f"a/b/{NAME}"]


async def test_a_folder_that_was_removed_is_created_again(place: Webdav) -> None:
    storage = place.open(prefix="a/b/")
    await storage.put(NAME, BytesSource(b"x"))
    shutil.rmtree(place.root / "a")
    await storage.put(NAME, BytesSource(b"x"))
    assert place.keys() == [f"a/b/{NAME}"]


async def test_a_server_that_does_not_list_can_be_written(
    place: Webdav, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(asked("PROPFIND"), 405)
    storage = behind(place, faults)
    assert await put_of(storage, tmp_path, BIG) == BIG
    with pytest.raises(StorageError, match="does not list folders"):
        await storage.entries()


async def test_a_download_that_breaks_off_is_told(
    place: Webdav, faults: S3Faults, tmp_path: Path
) -> None:
    def half(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.send(answer.read(BIG // 2))
        exchange.cut()

    faults.behave(asked("GET"), half)
    storage = behind(place, faults)
    await put_of(storage, tmp_path, BIG)
    with pytest.raises(StorageUnavailable, match="broke"):
        await content(storage)


VERBS: list[Callable[[Storage], Awaitable[object]]] = [
    lambda storage: storage.put(NAME, BytesSource(b"{}")),
    lambda storage: storage.entries(),
    lambda storage: storage.delete(NAME),
    lambda storage: storage.sweep(Leftovers()),
    content,
]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_wrong_password_is_told_by_every_verb(
    place: Webdav, verb: Callable[[Storage], Awaitable[object]]
) -> None:
    with pytest.raises(LoginRefused) as caught:
        await verb(place.open(password="wrong-one"))
    assert "the login was refused (401" in caught.value.message
    assert "password" in caught.value.hint
    assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "vault/"])
@pytest.mark.parametrize("verb", [VERBS[0], VERBS[1], VERBS[3]])
async def test_a_missing_folder_is_told_and_not_made(
    place: Webdav, verb: Callable[[Storage], Awaitable[object]], prefix: str
) -> None:
    url = f"{place.settings()['url']}/missing"
    with pytest.raises(StorageError) as caught:
        await verb(place.open(prefix, url=url))
    assert "the folder does not exist" in str(caught.value)
    assert not isinstance(caught.value, SnapshotNotFound)
    assert not (place.root / "missing").exists()


async def test_a_server_that_says_nothing_is_told(place: Webdav, line: CuttingTcpProxy) -> None:
    line.stall()
    with pytest.raises(StorageUnavailable, match="no answer in time"):
        await behind(place, line, timeout="1s").entries()


async def test_nobody_there_is_told(place: Webdav, line: CuttingTcpProxy) -> None:
    line.refuse()
    with pytest.raises(StorageUnavailable, match="no connection to 127"):
        await behind(place, line).entries()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(place: Webdav, authority: trustme.CA) -> Iterator[str]:
    """The URL of the same folder behind a proxy that ends TLS."""
    upstream = f"http://{LOOPBACK}:{place.served.port}"
    with TlsProxy(upstream, lambda _: pass_through, authority) as proxy:
        yield f"{proxy.address}{place.served.path}"


async def test_a_server_behind_a_proxy_that_ends_tls(
    place: Webdav, encrypted: str, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    storage = place.open("vault/", url=encrypted, ca_file=str(tmp_path / "ca.pem"))
    assert await put_of(storage, tmp_path, BIG) == BIG
    assert await content(storage) == bytes_of(BIG)
    assert place.keys() == [f"vault/{NAME}"]


async def test_a_certificate_nobody_vouches_for_is_refused(place: Webdav, encrypted: str) -> None:
    with pytest.raises(StorageError, match="certificate is not trusted") as caught:
        await place.open(url=encrypted).entries()
    assert not isinstance(caught.value, StorageUnavailable)
    assert "ca_file" in caught.value.hint
    assert await place.open(url=encrypted, skip_verify=True).entries() == []


@pytest.mark.parametrize(
    ("leftover", "age", "removed"),
    [
        (f".{NAME}.0123abcd.partial", 0, True),
        (f".{NAME}.json.0123abcd.partial", 0, True),
        (f".{NAME.replace(RUN, 'ffffff')}.0123abcd.partial", 0, False),
        (f".{NAME.replace(RUN, 'ffffff')}.0123abcd.partial", 25, True),
        (".latest.snap.0123abcd.partial", 0, False),
        (".latest.snap.0123abcd.partial", 25, True),
        (".somebody-else.0123abcd.partial", 25, False),
        (f".{NAME}.partial", 25, False),
    ],
)
async def test_only_leftovers_of_dead_runs_are_swept(
    place: Webdav, leftover: str, age: int, removed: bool
) -> None:
    place.plant([leftover])
    moment = time.time() - age * 3600
    os.utime(place.root / leftover, (moment, moment))
    assert (
        await place.open(static_name="latest.snap").sweep(
            Leftovers(frozenset({RUN}), static_name="latest.snap")
        )
        == removed
    )
    assert (leftover in place.pending()) is not removed


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url": "http://dav.example.org/"}, "not encrypted"),
        ({"url": "https://u:p@dav.example.org/"}, "no credentials"),
        ({"url": "dav.example.org"}, "with its scheme"),
        ({"username": "u"}, "together"),
        ({"username": "u", "password": "p", "token": "t"}, "either"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SETTINGS.validate_python({"type": "webdav", "url": "https://dav.example.org/", **more})


def test_a_token_is_sent_as_bearer() -> None:
    settings = WebdavSettings(type="webdav", url="https://h/", token="t0ken")
    assert settings.authorization() == {"authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(settings)


async def test_a_password_is_looked_up_at_each_use(
    place: Webdav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAV", "wrong")
    storage = place.open(password="env://DAV")
    with pytest.raises(StorageDenied):
        await storage.entries()
    monkeypatch.setenv("DAV", PASSWORD)
    assert await storage.entries() == []
    monkeypatch.delenv("DAV")
    with pytest.raises(StorageDenied, match="environment variable DAV"):
        await storage.entries()


def test_hrefs_may_be_whole_urls() -> None:
    answer = b"""<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response>
        <D:href>http://h:81/dav/a%20b.snap</D:href><D:propstat><D:prop>
        <D:getcontentlength>12</D:getcontentlength><D:resourcetype/>
        </D:prop></D:propstat></D:response></D:multistatus>"""
    assert [(file.path, file.size) for file in read_list(answer, 9).files] == [
        ("/dav/a b.snap", 12)
    ]


@pytest.mark.parametrize("prefix", ["", "a/b/"])
@pytest.mark.parametrize("outside", ["/backup", "/dav/outside"])
async def test_a_proxy_may_rewrite_the_path(
    place: Webdav, faults: S3Faults, prefix: str, outside: str
) -> None:
    """The hrefs in a list are those of the server, which the proxy does not know."""

    def rewrite(exchange: Exchange) -> None:
        request = exchange.request
        for name, value in request.headers.items():
            if name.lower() == "destination":
                request.headers.replace_header(name, value.replace(outside, "/dav", 1))
        exchange.relay(exchange.forward(target=request.target.replace(outside, "/dav", 1)))

    faults.behave(lambda _: True, rewrite)
    storage = place.open(prefix, url=f"{faults.address}{outside}")
    assert await storage.entries() == []
    await storage.put(NAME, BytesSource(b"abc"))
    place.plant([f"{prefix}deeper/{NAME}.json"])
    assert await storage.entries() == [Entry(NAME, 3)]
    await storage.delete(NAME)
    assert await storage.entries() == []


RESPONSE = (
    "<D:response><D:href>{}</D:href><D:propstat><D:prop>{}</D:prop></D:propstat></D:response>"
)
COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>"


@pytest.mark.parametrize(
    ("folders", "files", "names"),
    [
        # The requested path, whether or not the server lists the folder itself.
        (["/backup/"], ["/backup/a", "/dav/b", "/backup/c/d", "/backup/"], ["a"]),
        (["/backup/c/"], ["/backup/a", "/backup/c/d"], ["a"]),
        ([], ["/backup/a", "/dav/b"], ["a"]),
        (["/backup"], ["/backups", "/dav/b"], []),
        # Another, where the server says so.
        (["/dav/x%20y/z/", "/dav/x%20y/"], ["/dav/x%20y/b", "/dav/x%20y/z/c", "/e"], ["b"]),
        (["/dav"], ["/dav/b", "/dav/../c", "/davb"], ["b"]),
        (["/backup/dav/"], ["/backup/dav/b"], ["b"]),
        ([], ["/dav/b"], []),
    ],
)
async def test_the_path_of_the_list_is_the_requested_one_or_the_one_it_states(
    place: Webdav, faults: S3Faults, folders: list[str], files: list[str], names: list[str]
) -> None:
    rows = [RESPONSE.format(path, COLLECTION) for path in folders]
    rows += [RESPONSE.format(path, "<D:resourcetype/>") for path in files]
    answer = f'<D:multistatus xmlns:D="DAV:">{"".join(rows)}</D:multistatus>'
    faults.behave(asked("PROPFIND"), status(207, answer.encode()))
    storage = place.open(url=f"{faults.address}/backup")
    assert [entry.name for entry in await storage.entries()] == names


@pytest.mark.parametrize("answer", [b"<html>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"])
def test_nonsense_is_no_list(answer: bytes) -> None:
    with pytest.raises(ValueError):
        read_list(answer, 9)


# Servers that do not move a file over another.


def moves_over(place: Webdav) -> Callable[[Request], bool]:
    """Tell the moves to a name that is taken."""

    def over(request: Request) -> bool:
        name = request.headers.get("destination", "").rpartition("/")[2]
        return request.method == "MOVE" and (place.root / name).exists()

    return over


@pytest.mark.parametrize("code", [403, 405, 412, 500])
async def test_a_server_that_does_not_move_over_a_file_gets_it_put_aside(
    place: Webdav, faults: S3Faults, tmp_path: Path, code: int
) -> None:
    faults.fail(moves_over(place), code)
    storage = behind(place, faults)
    for size in (3, BIG, 5):
        await put_of(storage, tmp_path, size)
        assert await content(storage) == bytes_of(size)
    assert place.keys() == [NAME]
    assert place.pending() == []


async def test_a_server_that_does_not_move_at_all_keeps_what_it_had(
    place: Webdav, faults: S3Faults
) -> None:
    storage = behind(place, faults)
    await storage.put(NAME, BytesSource(b"the old one"))
    faults.behave(asked("MOVE"), status(500, b"<html><h1>500 Internal</h1>the disk is odd</html>"))
    with pytest.raises(StorageUnavailable, match=r"500 .*the disk is odd"):
        await storage.put(NAME, BytesSource(b"the new one"))
    assert await content(storage) == b"the old one"
    assert place.pending() == []


async def test_what_was_put_aside_comes_back_when_the_new_one_cannot_be_moved(
    place: Webdav, faults: S3Faults
) -> None:
    storage = behind(place, faults)
    await storage.put(NAME, BytesSource(b"the old one"))
    moves = 0

    def second(request: Request) -> bool:
        nonlocal moves
        moves += request.method == "MOVE"
        return request.method == "MOVE" and moves in {2, 4}

    faults.fail(second, 500)
    with pytest.raises(StorageUnavailable):
        await storage.put(NAME, BytesSource(b"the new one"))
    assert moves == 5
    assert await content(storage) == b"the old one"
    assert place.keys() == [NAME]
    assert place.pending() == []


@pytest.mark.parametrize("code", [403, 405])
async def test_what_may_be_a_folder_is_not_replaced(
    place: Webdav, faults: S3Faults, code: int
) -> None:
    faults.fail(asked("PROPFIND"), code)
    place.plant([f"{NAME}/inside"])
    with pytest.raises(StorageError):
        await behind(place, faults).put(NAME, BytesSource(b"x"))
    assert place.keys() == [f"{NAME}/inside"]
    assert place.pending() == []


# What the server says.

SABRE = (
    b"<d:error xmlns:d='DAV:' xmlns:s='http://sabredav.org/ns'><s:exception>"
    b"Sabre\\DAV\\Exception\\Forbidden</s:exception><s:message>No upload here"
    b"</s:message></d:error>"
)
SAYING: list[Callable[[Storage], Awaitable[object]]] = [
    lambda storage: storage.put(NAME, BytesSource(b"x")),
    lambda storage: storage.entries(),
    lambda storage: anext(storage.read(NAME)),
]


@pytest.mark.parametrize(
    ("code", "kind", "body", "told"),
    [
        (
            403,
            StorageDenied,
            SABRE,
            "access denied (403 Forbidden: Sabre\\DAV\\Exception\\Forbidden No upload here)",
        ),
        (
            500,
            StorageUnavailable,
            b"<html><head><title>500 Oh</title></head><body><p>the pool\x1b[2J is &amp; empty",
            "the store answered 500 Internal Server Error: Oh the pool [2J is & empty",
        ),
        (
            507,
            StorageFull,
            b'{"message": "quota of backup"}',
            "(507 Insufficient Storage: quota of backup)",
        ),
        (401, LoginRefused, b"Authorization was Basic YmFja3VwOmh1c2g=", "Basic [hidden])"),
        (409, StorageError, b"Parent folder", "the store answered 409 Conflict: Parent folder"),
        (501, StorageError, b"", "the store answered 501"),
    ],
)
@pytest.mark.parametrize("verb", SAYING)
async def test_what_the_server_says_stands_in_the_message(
    place: Webdav,
    faults: S3Faults,
    verb: Callable[[Storage], Awaitable[object]],
    code: int,
    kind: type[StorageError],
    body: bytes,
    told: str,
) -> None:
    faults.behave(lambda request: request.method not in {"MKCOL", "DELETE"}, status(code, body))
    with pytest.raises(StorageError) as caught:
        await verb(behind(place, faults))
    if not (code == 501 and verb is SAYING[1]):
        assert type(caught.value) is kind
        assert told in caught.value.message
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert not HOLES.search(str(caught.value))


@pytest.mark.parametrize(
    ("challenges", "hint"),
    [
        (['Digest realm="a, basic b", nonce="x"'], "the server asks for Digest, and"),
        (["Negotiate", "NTLM"], "the server asks for Negotiate,"),
        (['Digest realm="a"', 'Basic realm="b"'], "check username, password or token"),
        (['Digest realm="a", basic realm="b"'], "check username, password or token"),
        (["Bearer"], "check username, password or token"),
        ([" "], "check username, password or token"),
        ([], "check username, password or token"),
    ],
)
async def test_a_login_that_is_not_spoken_is_told(
    place: Webdav, faults: S3Faults, challenges: list[str], hint: str
) -> None:
    def challenge(exchange: Exchange) -> None:
        named = [("WWW-Authenticate", one) for one in challenges]
        exchange.answer(401, [*named, ("Content-Length", "0")], b"")

    faults.behave(lambda _: True, challenge)
    with pytest.raises(LoginRefused) as caught:
        await behind(place, faults).entries()
    assert caught.value.hint.startswith(hint)


async def test_a_refusal_without_end_is_cut(place: Webdav, faults: S3Faults) -> None:
    faults.behave(asked("GET"), status(403, b"no " * (1 << 20)))
    with pytest.raises(StorageDenied) as caught:
        await anext(behind(place, faults).read(NAME))
    assert len(caught.value.message) < 500
