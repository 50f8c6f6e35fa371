from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS, Swift
from tests.contract.sources import MIB, NAME, Watched, beside, bytes_of, content, put_of
from tests.holes import HOLES
from tests.http_proxy import Exchange, Request, status
from tests.s3_faults import S3Faults
from tests.stores.fixtures import Account
from tests.stores.keystone import (
    APPLICATION,
    APPLICATION_SECRET,
    PROJECT,
    Keystone,
    running_keystone,
)
from tests.stores.running import LOOPBACK, PASSWORD, USERNAME
from tests.tcp_proxy import CuttingTcpProxy

from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers

BIG = 20 * MIB
RUN = "0a1b2c"
Verb = Callable[[Storage], Awaitable[object]]


@pytest.fixture
def place(swift_server: Account, container: str, tmp_path: Path) -> Swift:
    return Swift(swift_server, container, tmp_path)


@pytest.fixture
def faults(swift_server: Account) -> Iterator[S3Faults]:
    """The same server behind a proxy that fails what a test wants."""
    with S3Faults(swift_server.auth_url.removesuffix("/auth/v1.0")) as made:
        yield made


@pytest.fixture
def line(swift_server: Account) -> Iterator[CuttingTcpProxy]:
    port = int(swift_server.auth_url.split(":")[2].split("/")[0])
    with CuttingTcpProxy(LOOPBACK, port) as made:
        yield made


@pytest.fixture
def keystone(swift_server: Account) -> Iterator[Keystone]:
    with running_keystone(swift_server) as made:
        yield made


def behind(place: Swift, proxy: S3Faults | CuttingTcpProxy, **more: Any) -> Storage:
    return place.open(auth_url=f"{proxy.address}/auth/v1.0", **more)


def is_segment(request: Request) -> bool:
    return request.method == "PUT" and ".segments/" in request.path


def is_manifest(request: Request) -> bool:
    return request.method == "PUT" and "multipart-manifest" in request.query


def is_download(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith(NAME)


def is_rest(request: Request) -> bool:
    return is_download(request) and request.headers["Range"] is not None


async def _put_fails(storage: Storage, source: Watched) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put(NAME, source)
    assert caught.value.hint


async def test_a_connection_cut_half_way_leaves_nothing(
    place: Swift, line: CuttingTcpProxy, tmp_path: Path
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
    assert place.objects() == []


async def test_a_server_that_stalls_is_given_up_and_swept_later(
    place: Swift, line: CuttingTcpProxy, tmp_path: Path
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
    assert place.objects() == []


@pytest.mark.parametrize("code", [503, 507, 400])
async def test_a_segment_that_is_refused_leaves_nothing(
    place: Swift, faults: S3Faults, tmp_path: Path, code: int
) -> None:
    kinds = {503: StorageUnavailable, 507: StorageFull, 400: StorageError}
    faults.fail(lambda request: is_segment(request) and request.path.endswith("1"), code)
    with pytest.raises(StorageError) as caught:
        await put_of(behind(place, faults), tmp_path, BIG)
    assert type(caught.value) is kinds[code]
    assert place.objects() == []


async def test_a_segment_that_arrives_changed_leaves_nothing(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    def lie(exchange: Exchange) -> None:
        exchange.answer(201, [("ETag", "0" * 32), ("Content-Length", "0")], b"")

    faults.behave(is_segment, lie)
    with pytest.raises(StorageUnavailable, match="arrived changed"):
        await put_of(behind(place, faults), tmp_path, BIG)
    assert place.objects() == []


async def test_a_manifest_that_is_refused_leaves_nothing(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(is_manifest, 400)
    with pytest.raises(StorageError, match="400"):
        await put_of(behind(place, faults), tmp_path, BIG)
    assert place.objects() == []


async def test_a_manifest_that_came_about_without_an_answer_counts(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    def silently(exchange: Exchange) -> None:
        exchange.forward().read()
        exchange.cut()

    faults.behave(is_manifest, silently)
    storage = behind(place, faults)
    assert await put_of(storage, tmp_path, BIG) == BIG
    assert await content(storage) == bytes_of(BIG)


async def test_a_manifest_nobody_can_tell_about_keeps_its_segments_for_a_sweep(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(is_manifest, 503)
    with pytest.raises(StorageUnavailable):
        await put_of(behind(place, faults), tmp_path, BIG)
    assert place.keys() == []
    assert len(place.pending()) == 1
    assert await place.open().sweep(Leftovers(frozenset({RUN}))) == 1
    assert place.objects() == []


async def test_the_segments_go_with_their_snapshot(place: Swift, tmp_path: Path) -> None:
    storage = place.open("vault/")
    await put_of(storage, tmp_path, BIG)
    assert len(place.objects()) == 4
    await storage.delete(NAME)
    assert place.objects() == []


async def test_the_segments_of_what_is_replaced_go(place: Swift, tmp_path: Path) -> None:
    storage = place.open()
    await put_of(storage, tmp_path, BIG)
    await put_of(storage, tmp_path, 30 * MIB)
    assert len(place.objects()) == 5
    await storage.put(NAME, BytesSource(b"small"))
    assert place.objects() == [NAME]
    assert await content(storage) == b"small"


async def test_the_segments_of_a_whole_snapshot_are_not_swept(place: Swift, tmp_path: Path) -> None:
    storage = place.open()
    await put_of(storage, tmp_path, BIG)
    assert await storage.sweep(Leftovers(frozenset({RUN}))) == 0
    assert await content(storage) == bytes_of(BIG)


async def test_a_sweep_does_not_ask_for_each_of_a_thousand(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    storage = behind(place, faults)
    await put_of(storage, tmp_path, BIG)
    before = len(faults.requests)
    assert await storage.sweep(Leftovers(frozenset({RUN}))) == 0
    assert {request.path.rpartition("/")[2] for request in faults.requests[before:]} == {
        place.container
    }


async def test_what_a_broken_upload_left_beside_a_whole_one_is_swept(
    place: Swift, tmp_path: Path
) -> None:
    storage = place.open()
    await put_of(storage, tmp_path, BIG)
    place.plant([f".segments/{NAME}/0123abcd/00000000"])
    assert await storage.sweep(Leftovers(frozenset({RUN}))) == 1
    assert len(place.objects()) == 4
    assert await content(storage) == bytes_of(BIG)


async def test_segments_are_kept_where_nobody_may_see_what_they_belong_to(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    storage = behind(place, faults)
    await put_of(storage, tmp_path, BIG)
    place.plant([f".segments/{NAME}/0123abcd/00000000"])
    faults.fail(lambda request: request.method == "HEAD", 403)
    assert await storage.sweep(Leftovers(frozenset({RUN}))) == 0
    assert await content(storage) == bytes_of(BIG)


async def test_writing_needs_no_right_to_read(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    faults.fail(lambda request: request.method in {"HEAD", "GET"} and ".0" not in request.path, 403)
    storage = behind(place, faults)
    assert await put_of(storage, tmp_path, BIG) == BIG
    assert await storage.sweep(Leftovers(frozenset({RUN}))) == 0
    await storage.delete(NAME)
    assert place.keys() == []


VERBS: list[Verb] = [
    lambda storage: storage.put(NAME, BytesSource(b"{}")),
    lambda storage: storage.entries(),
    lambda storage: storage.delete(NAME),
    content,
]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_wrong_password_is_told_by_every_verb(place: Swift, verb: Verb) -> None:
    with pytest.raises(StorageDenied, match="the login was refused") as caught:
        await verb(place.open(password="wrong-one"))
    assert "password" in caught.value.hint
    assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize("verb", [*VERBS[:2], lambda storage: storage.sweep(Leftovers())])
async def test_a_missing_container_is_told(place: Swift, verb: Verb) -> None:
    with pytest.raises(StorageError, match="the container does not exist") as caught:
        await verb(place.open(container="missing"))
    assert not isinstance(caught.value, SnapshotNotFound)


def by_keystone(place: Swift, keystone: Keystone, **more: Any) -> Storage:
    given = {
        "type": "swift",
        "container": place.container,
        "auth_url": keystone.url,
        "username": USERNAME,
        "password": PASSWORD,
        "project_name": PROJECT,
    }
    storage: Storage = SETTINGS.validate_python(given | more).open()
    return storage


@pytest.mark.parametrize("version", ["", "/v3"])
async def test_keystone_lets_a_user_in_once(place: Swift, keystone: Keystone, version: str) -> None:
    storage = by_keystone(place, keystone, auth_url=keystone.url + version)
    await storage.put(NAME, BytesSource(b"{}"))
    assert await content(storage) == b"{}"
    assert keystone.logins == 1


async def test_keystone_lets_an_application_in(place: Swift, keystone: Keystone) -> None:
    credential = {
        "application_credential_id": APPLICATION,
        "application_credential_secret": APPLICATION_SECRET,
    }
    nobody = dict.fromkeys(("username", "password", "project_name"))
    storage = by_keystone(place, keystone, **nobody, **credential)
    assert await storage.entries() == []


async def test_what_is_missing_comes_from_the_environment(
    place: Swift, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Storage = SETTINGS.validate_python(
        {"type": "swift", "container": place.container}
    ).open()
    with pytest.raises(StorageDenied, match="neither auth_url nor"):
        await storage.entries()
    names = ("AUTH_URL", "USERNAME", "PASSWORD", "PROJECT_NAME", "REGION_NAME")
    for name, value in zip(names, (keystone.url, USERNAME, PASSWORD, PROJECT, "one"), strict=True):
        monkeypatch.setenv(f"OS_{name}", value)
    assert await storage.entries() == []


@pytest.mark.parametrize("said", [("OS_STORAGE_URL",), ("OS_STORAGE_URL", "OS_AUTH_TOKEN")])
async def test_a_login_in_the_settings_is_not_exchanged_for_that_of_the_environment(
    place: Swift, monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...]
) -> None:
    mine = place.open()
    await mine.put(NAME, BytesSource(b"snapshot"))
    for name in said:
        monkeypatch.setenv(name, "http://127.0.0.1:1/v1/AUTH_other")
    assert [one.name for one in await place.open().entries()] == [NAME]


@pytest.mark.parametrize(
    "given",
    [
        {"auth_url": "https://h/v3"},
        {"username": "u"},
        {"password": "p"},
        {"project_name": "p"},
        {"application_credential_id": "i", "application_credential_secret": "s"},
        {"storage_url": "https://h/v1/a", "username": "u"},
    ],
)
def test_a_token_of_the_environment_completes_no_other_login(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    monkeypatch.setenv("OS_STORAGE_URL", "https://h/v1/other")
    monkeypatch.setenv("OS_AUTH_TOKEN", "token")
    container = {"type": "swift", "container": "c"}
    SETTINGS.validate_python(container).check()
    with pytest.raises(ConfigError, match="is set"):
        SETTINGS.validate_python({**container, **given}).check()


def test_secrets_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "hunter2-of-the-shell\n")
    login = {"auth_url": "https://h/auth/v1.0", "username": "a:u"}
    SETTINGS.validate_python({"type": "swift", "container": "c", **login}).check()
    assert "hunter2" not in redact("refused: hunter2-of-the-shell")


def test_an_application_of_the_environment_is_no_login_of_a_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_ID", "i")
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_SECRET", "s")
    user = {"auth_url": "https://h/v3", "password": "p"}
    with pytest.raises(ConfigError, match="neither username nor"):
        SETTINGS.validate_python({"type": "swift", "container": "c", **user}).check()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "auth_url"),
        ({"auth_url": "https://h/auth/v1.0", "username": "a:u"}, "password"),
        ({"auth_url": "https://h/v3", "username": "u", "password": "p"}, "project_name"),
        ({"auth_url": "https://h/v3", "project_name": "p"}, "username"),
        ({"storage_url": "https://h/v1/a"}, "auth_url"),
        ({"storage_url": "https://h/v1/a", "auth_token": "t"}, None),
        ({"auth_url": "https://h/auth/v1.0", "username": "a:u", "password": "p"}, None),
        (
            {
                "auth_url": "https://h",
                "application_credential_id": "i",
                "application_credential_secret": "s",
            },
            None,
        ),
    ],
)
def test_what_a_login_lacks_is_told_before_anybody_is_asked(
    given: dict[str, str], missing: str | None
) -> None:
    settings = SETTINGS.validate_python({"type": "swift", "container": "c", **given})
    if missing is None:
        settings.check()
        return
    with pytest.raises(ConfigError, match=f"neither {missing} nor .OS_{missing.upper()} is set"):
        settings.check()


async def test_a_region_is_chosen_where_there_are_several(place: Swift, keystone: Keystone) -> None:
    keystone.regions["two"] = f"http://{LOOPBACK}:1/v1"
    for region in (None, "three"):
        with pytest.raises(StorageError, match="no object store") as caught:
            await by_keystone(place, keystone, region_name=region).entries()
        assert "one, two" in caught.value.hint
    assert await by_keystone(place, keystone, region_name="one").entries() == []


async def test_keystone_refuses(place: Swift, keystone: Keystone) -> None:
    with pytest.raises(StorageDenied, match="the login was refused"):
        await by_keystone(place, keystone, password="wrong-one").entries()
    with pytest.raises(StorageError, match="answered 404"):
        await by_keystone(place, keystone, auth_url=f"{keystone.url}/elsewhere").entries()


async def test_a_token_needs_no_login(place: Swift) -> None:
    access = {"storage_url": place.account.storage_url, "auth_token": place.account.token}
    given = {"type": "swift", "container": place.container} | access
    assert await SETTINGS.validate_python(given).open().entries() == []
    with pytest.raises(StorageDenied, match="401"):
        await SETTINGS.validate_python(given | {"auth_token": "old"}).open().entries()


async def test_a_token_goes_nowhere_unencrypted(place: Swift, keystone: Keystone) -> None:
    keystone.regions["one"] = "http://swift.example.org/v1"
    with pytest.raises(StorageDenied, match="not encrypted"):
        await by_keystone(place, keystone).entries()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"container": "a/b"}, "bare name"),
        ({"segment_size": "6GiB"}, "between 1MiB and 5GiB"),
        ({"auth_url": "http://keystone.example.org/v3"}, "not encrypted"),
        ({"auth_token": "t"}, "needs storage_url"),
        ({"application_credential_id": "i"}, "together"),
        (
            {
                "application_credential_id": "i",
                "application_credential_secret": "s",
                "username": "u",
            },
            "either",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(more: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SETTINGS.validate_python({"type": "swift", "container": "c", **more})


def test_a_storage_url_that_holds_the_container_is_refused() -> None:
    url = "https://swift.example.org/v1/AUTH_backup"
    named = {"type": "swift", "container": "vault backups", "auth_token": "token"}
    SETTINGS.validate_python({**named, "storage_url": url})
    with pytest.raises(ValidationError, match=f"write {url} "):
        SETTINGS.validate_python({**named, "storage_url": f"{url}/vault%20backups/"})


# What the store says, and where it is.


async def test_a_download_that_breaks_again_and_again_names_the_address(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    storage = behind(place, faults)
    await put_of(storage, tmp_path, 3 * MIB)

    def cut(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.begin(answer.status, answer.getheaders())
        exchange.cut()

    faults.behave(is_download, cut)
    address = faults.address.removeprefix("http://")
    with pytest.raises(StorageUnavailable, match=f"the connection to {address} broke") as caught:
        await content(storage)
    assert not HOLES.search(str(caught.value))


@pytest.mark.parametrize(
    ("code", "kind"), [(401, LoginRefused), (403, StorageDenied), (404, StorageError)]
)
async def test_what_the_store_says_stands_in_the_message(
    place: Swift, faults: S3Faults, code: int, kind: type[StorageError]
) -> None:
    said = status(code, b"<html><h1>Odd</h1><p>The server could not do it.</p></html>")
    faults.behave(lambda request: not request.path.startswith("/auth"), said)
    storage = behind(place, faults)
    for asked in (storage.put(NAME, BytesSource(b"x")), storage.entries()):
        with pytest.raises(kind, match="The server could not do it") as caught:
            await asked
        assert not HOLES.search(str(caught.value))


async def test_a_token_that_has_ended_is_followed_by_another_login(
    place: Swift, faults: S3Faults
) -> None:
    storage = behind(place, faults)
    await storage.put(NAME, BytesSource(b"snapshot"))

    def logins() -> int:
        return len([one for one in faults.requests if one.path.startswith("/auth")])

    before = logins()
    is_listing = lambda request: "format" in request.query  # noqa: E731
    faults.fail(is_listing, 401, times=1)
    assert [entry.name for entry in await storage.entries()] == [NAME]
    assert logins() == before + 1
    faults.fail(is_listing, 401)
    with pytest.raises(LoginRefused, match="401"):
        await storage.entries()


def _cut(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.begin(answer.status, answer.getheaders())
    exchange.send(answer.read(5 * MIB))
    exchange.cut()


async def test_a_stream_that_is_cut_goes_on_where_it_was(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    await put_of(place.open(), tmp_path, BIG)
    faults.behave(is_download, _cut, times=1)
    assert await content(behind(place, faults)) == bytes_of(BIG)
    assert [one.headers["Range"] for one in faults.requests if is_rest(one)] != []


async def test_what_is_replaced_meanwhile_is_not_taken_for_the_rest(
    place: Swift, faults: S3Faults, tmp_path: Path
) -> None:
    await put_of(place.open(), tmp_path, BIG)

    def another(exchange: Exchange) -> None:
        answer = exchange.forward()
        headers = {name.lower(): value for name, value in answer.getheaders()} | {"etag": "other"}
        exchange.answer(answer.status, headers.items(), answer.read())

    faults.behave(is_download, _cut)
    faults.behave(is_rest, another)
    with pytest.raises(StorageError, match="it was replaced while it was read"):
        await content(behind(place, faults))
