"""A store is proven before a lease is kept there, and each way to fail has its words."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contract.conftest import _place
from tests.contract.destinations import S3, SETTINGS
from tests.http_proxy import Behaviour, Exchange, Request, hang, pass_through, status
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import StorageError, StorageUnavailable, UnreliableStore
from raft_snapshot_agent.lease import proof
from raft_snapshot_agent.lease.in_storage import StorageLease
from raft_snapshot_agent.lease.opening import open_lease
from raft_snapshot_agent.storage.http import lease_store

pytestmark = pytest.mark.anyio

NAME = "raft-snapshot-lease"
ERROR = b"<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>"
CREATE, UPDATE = "If-None-Match", "If-Match"
Rule = tuple[Callable[[Request], bool], Behaviour]


def settings_of(destination: Any, **more: Any) -> Any:
    return SETTINGS.validate_python({**destination.settings("prod/"), "name": "shelf", **more})


async def prove(settings: Any) -> None:
    await StorageLease(type="storage", storage="shelf").prove([settings])


def probes(destination: Any) -> list[str]:
    return [key for key in sorted(destination.keys()) if "probe" in key]


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing compete: moto compares and writes without a lock, so that two writers may win."""
    monkeypatch.setattr(proof, "_AT_ONCE", 1)


@pytest.mark.parametrize("kind", ["local", "s3", "moto", "azure", "gcs"])
async def test_a_store_that_keeps_its_word_is_proven_and_nothing_stays(
    kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "moto":
        request.getfixturevalue("one_at_a_time")
    destination = _place(kind, request)
    settings = settings_of(destination)
    if kind == "local":
        settings.prepare()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(prove, settings)
    assert probes(destination) == []
    if kind == "local":
        assert left(settings.folder) == set()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Stores that lie.


def conditional(*headers: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "PUT" and any(h in request.headers for h in headers)


def asked(method: str) -> Callable[[Request], bool]:
    return lambda request: request.method == method and "raft-snapshot-lease" in request.path


def deleting(request: Request) -> bool:
    return request.method == "DELETE" or "delete" in request.query


def pretending_to_delete(exchange: Exchange) -> None:
    key = exchange.body().partition(b"<Key>")[2].partition(b"</Key>")[0]
    body = b"<DeleteResult><Deleted><Key>" + key + b"</Key></Deleted></DeleteResult>"
    exchange.answer(200, [("Content-Length", str(len(body)))], body)


def ignoring(*headers: str) -> Behaviour:
    def ignore(exchange: Exchange) -> None:
        for header in headers:
            del exchange.request.headers[header]
        pass_through(exchange)

    return ignore


def tagged(change: Callable[[str], str | None]) -> Behaviour:
    """Change the ETag in the answer, or leave it out."""

    def tag(exchange: Exchange) -> None:
        response = exchange.forward()
        body = response.read()
        headers = []
        for name, value in response.getheaders():
            new = change(value) if name.lower() == "etag" else value
            if new is not None:
                headers.append((name, new))
        exchange.answer(response.status, headers, body)

    return tag


def disobedient(exchange: Exchange) -> None:
    """Answer that the write is refused, and write."""
    del exchange.request.headers[CREATE]
    del exchange.request.headers[UPDATE]
    exchange.forward().read()
    exchange.answer(412, [("Content-Length", "0")], b"")


def constant(exchange: Exchange) -> None:
    del exchange.request.headers[UPDATE]
    tagged(lambda _: '"1"')(exchange)


def caching() -> Behaviour:
    """Answer each read as the first one of the same object was answered."""
    seen: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}

    def answer(exchange: Exchange) -> None:
        path = exchange.request.path
        if path not in seen:
            response = exchange.forward()
            found = response.status, response.getheaders(), response.read()
            if response.status != 200:
                exchange.answer(*found)
                return
            seen[path] = found
        exchange.answer(*seen[path])

    return answer


def racing() -> Behaviour:
    """Heed the condition unless another write is under way.

    The store behind takes one after the other: moto fails where two write the same object.
    """
    lock, turn, under_way = threading.Lock(), threading.Lock(), [0]

    def race(exchange: Exchange) -> None:
        with lock:
            under_way[0] += 1
        time.sleep(0.2)
        if under_way[0] > 1:
            del exchange.request.headers[UPDATE]
        with turn:
            pass_through(exchange)
        with lock:
            under_way[0] -= 1

    return race


def pretended(exchange: Exchange) -> None:
    exchange.answer(200, [("ETag", '"x"'), ("Content-Length", str(len(ERROR)))], ERROR)


LIES: dict[str, tuple[list[Rule], str]] = {
    "ignores If-None-Match": ([(conditional(CREATE), ignoring(CREATE))], "accepts a second create"),
    "ignores If-Match": ([(conditional(UPDATE), ignoring(UPDATE))], "accepts a write with an old"),
    "ignores both": ([(asked("PUT"), ignoring(CREATE, UPDATE))], "accepts a second create"),
    "refuses everything": (
        [(conditional(CREATE, UPDATE), status(412, ERROR))],
        "refuses to create a record",
    ),
    "refuses If-Match": ([(conditional(UPDATE), status(412, ERROR))], "refuses to write a record"),
    "knows no If-Match": (
        [(conditional(UPDATE), status(501, ERROR))],
        "a conditional write fails: .*501 NotImplemented A header is not implemented",
    ),
    "501": ([(conditional(CREATE, UPDATE), status(501, ERROR))], "501 NotImplemented A header"),
    "400": ([(conditional(CREATE, UPDATE), status(400, ERROR))], "400 NotImplemented A header"),
    "405": ([(conditional(CREATE, UPDATE), status(405, ERROR))], "405 NotImplemented A header"),
    "409": ([(conditional(CREATE, UPDATE), status(409, ERROR))], "refuses to create a record"),
    "404 to a create": ([(conditional(CREATE), status(404, ERROR))], "conditional write fails"),
    "404 to all": ([(conditional(UPDATE), status(404, b""))], "refuses to write a record|fails"),
    "200 and an error": ([(conditional(CREATE), status(200, ERROR))], "conditional write fails"),
    "200, an ETag and an error": (
        [(conditional(CREATE), pretended)],
        "does not return the record that was",
    ),
    "no ETag when writing": ([(asked("PUT"), tagged(lambda _: None))], "conditional write fails"),
    "no ETag when reading": ([(asked("GET"), tagged(lambda _: None))], "tells no ETag"),
    "a weak ETag when reading": (
        [(asked("GET"), tagged(lambda tag: f"W/{tag}"))],
        "different versions",
    ),
    "weak ETags": (
        [(asked("GET"), tagged(lambda t: f"W/{t}")), (asked("PUT"), tagged(lambda t: f"W/{t}"))],
        "refuses to write a record whose version",
    ),
    "another ETag when writing": ([(asked("PUT"), tagged(lambda _: '"1"'))], "different versions"),
    "quotes twice": ([(asked("PUT"), tagged(lambda t: f'"{t}"'))], "different versions"),
    "one ETag for all": ([(asked("GET"), constant), (asked("PUT"), constant)], "the same version"),
    "shows the old": (
        [(asked("GET"), caching())],
        "does not return the record that was written last",
    ),
    "says no and writes": ([(conditional(UPDATE), disobedient)], "refuses to write a record"),
    "one at a time only": ([(conditional(UPDATE), racing())], "of several concurrent writes"),
    "deletes nothing": (
        [(deleting, pretending_to_delete)],
        "still returns a deleted record",
    ),
}


@pytest.fixture
def front(moto: S3) -> Iterator[S3Faults]:
    with S3Faults(moto.seaweed.endpoint) as front:
        yield front


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_lies_is_named_and_not_used(lie: str, front: S3Faults, moto: S3) -> None:
    rules, words = LIES[lie]
    for when, behaviour in rules:
        front.behave(when, behaviour)
    settings = settings_of(moto, endpoint=front.address)
    with pytest.raises(UnreliableStore, match=f"shelf cannot keep a lease: .*({words})") as e:
        await prove(settings)
    assert "another storage, or as a Lease of Kubernetes" in e.value.hint
    assert "\n" not in str(e.value)
    if lie != "deletes nothing":
        assert probes(moto) == []
    for _ in range(2):
        lease = open_lease(StorageLease(type="storage", storage="shelf"), [settings])
        await lease.look()
        assert lease.held_lease is None
        assert isinstance(lease.not_held(), UnreliableStore)
        assert lease.not_held().exit_code == 2
    assert set(moto.keys()) == set(probes(moto))


@pytest.mark.usefixtures("one_at_a_time")
async def test_a_refusal_in_other_words_is_a_refusal(front: S3Faults, moto: S3) -> None:
    def conflict(exchange: Exchange) -> None:
        response = exchange.forward()
        body = response.read()
        code = 409 if response.status == 412 else response.status
        exchange.answer(code, response.getheaders(), body)

    front.behave(asked("PUT"), conflict)
    await prove(settings_of(moto, endpoint=front.address))


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize("code", [403, 405])
async def test_what_cannot_be_deleted_is_used_again(front: S3Faults, moto: S3, code: int) -> None:
    front.fail(deleting, code)
    settings = settings_of(moto, endpoint=front.address)
    for _ in range(3):
        await prove(settings)
    assert len(probes(moto)) == 1


@pytest.mark.usefixtures("one_at_a_time")
async def test_a_store_that_does_not_answer_is_not_called_a_liar(
    front: S3Faults, moto: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_WITHIN", 1.0)
    front.behave(asked("PUT"), hang)
    settings = settings_of(moto, endpoint=front.address)
    with pytest.raises(StorageUnavailable, match=r"could not be proven .* within 1 s"):
        await prove(settings)
    front.heal()
    monkeypatch.setattr(proof, "_WITHIN", 60.0)  # a busy machine may take longer than a second
    await prove(settings)


@pytest.mark.usefixtures("one_at_a_time")
async def test_what_a_killed_agent_left_is_removed_later(
    moto: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_store, "_LEFT_BEHIND", timedelta(seconds=1))
    moto.plant([f"prod/{NAME}-probe/left.json", "prod/another.json"])
    await anyio.sleep(2)
    await prove(settings_of(moto))
    assert moto.keys() == ["prod/another.json"]


# Disks that cannot.


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    return SETTINGS.validate_python({"type": "local", "path": str(tmp_path), "name": "shelf"})


async def test_a_file_system_without_links_is_named(
    disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UnreliableStore, match=r"shelf cannot keep a lease: .*makes no hard links"):
        await prove(disk)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("link", [os.replace, shutil.copy])
async def test_a_file_system_whose_links_replace_is_named(
    disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[..., object]
) -> None:
    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UnreliableStore, match="shelf cannot keep a lease: it accepts a second"):
        await prove(disk)
    assert left(tmp_path) == set()


async def test_a_folder_that_may_not_be_written_is_no_lie(
    disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(StorageError, match="cannot write the lease record") as caught:
        await prove(disk)
    assert not isinstance(caught.value, UnreliableStore)
    assert left(tmp_path) == set()


async def test_on_a_disk_too_what_a_killed_agent_left_is_removed(disk: Any, tmp_path: Path) -> None:
    names = {f"{NAME}-probe-old": 7200, f"{NAME}-probe-new": 60, "snapshot": 7200}
    for name, age in names.items():
        os.mkdir(tmp_path / name)  # noqa: PTH102
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    await prove(disk)
    assert left(tmp_path) == {f"{NAME}-probe-new", "snapshot"}
