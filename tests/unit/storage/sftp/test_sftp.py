from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.sftp import SFTPClientHandler
from pydantic import ValidationError
from tests.contract.destinations import SETTINGS, Sftp
from tests.contract.sources import (
    MIB,
    NAME,
    Watched,
    beside,
    bytes_of,
    content,
    put_of,
    whole,
)
from tests.deaf import deaf, give_addresses
from tests.holes import HOLES
from tests.stores.fixtures import Sshd
from tests.stores.running import LOOPBACK, PASSWORD
from tests.tcp_proxy import CuttingTcpProxy

from raft_snapshot_agent.errors import (
    ConfigError,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.sftp.errors import describe_failure

BIG = 20 * MIB
RUN = "0a1b2c"
Verb = Callable[[Storage], Awaitable[object]]


@pytest.fixture
def place(sftp_server: Sshd, tmp_path: Path) -> Sftp:
    spools = tmp_path / "spools"
    spools.mkdir()
    return Sftp(tmp_path / "sftp", spools, sftp_server)


@pytest.fixture
def line(sftp_server: Sshd) -> Iterator[CuttingTcpProxy]:
    with CuttingTcpProxy(LOOPBACK, sftp_server.port) as made:
        yield made


async def _put_fails(storage: Storage, source: Watched) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await storage.put(NAME, source)
    assert caught.value.hint


async def test_one_address_of_several_is_enough(
    place: Sftp, sftp_server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_addresses(monkeypatch, "several.test", ["127.0.0.2", LOOPBACK])
    with deaf("127.0.0.2", sftp_server.port):
        began = time.monotonic()
        assert await place.open(host="several.test").entries() == []
        assert time.monotonic() - began < 5, "as if an address had to run into its time-out"


async def test_a_connection_cut_half_way_leaves_nothing(place: Sftp, line: CuttingTcpProxy) -> None:
    storage = place.open(port=line.port)
    with Watched(place.spools) as source:
        async with beside(source, _put_fails, storage, source):
            source.grow(bytes_of(BIG))
            await source.reached(BIG)
            assert len(place.pending()) == 1
            line.refuse()
            line.restore()
            source.grow(bytes_of(BIG))
            source.accept()
    assert place.keys() == place.pending() == []


@pytest.mark.soak
async def test_a_server_that_stalls_is_given_up_and_swept_later(
    place: Sftp, line: CuttingTcpProxy
) -> None:
    storage = place.open(port=line.port, timeout="5s")
    with Watched(place.spools) as source:
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


async def test_a_cancelled_put_leaves_nothing_although_its_source_goes_on(place: Sftp) -> None:
    storage = place.open()
    with Watched(place.spools) as source:
        async with beside(source, storage.put, NAME, source) as tasks:
            source.grow(bytes_of(BIG))
            await source.reached(BIG)
            tasks.cancel_scope.cancel()
        assert place.keys() == place.pending() == []


async def test_a_server_that_says_nothing_is_told(place: Sftp, line: CuttingTcpProxy) -> None:
    line.stall()
    with pytest.raises(StorageUnavailable, match="no answer in time"):
        await place.open(port=line.port, timeout="1s").entries()


async def test_nobody_there_is_told(place: Sftp, line: CuttingTcpProxy) -> None:
    line.refuse()
    with pytest.raises(StorageUnavailable, match="no connection"):
        await place.open(port=line.port).entries()


VERBS: list[Verb] = [
    lambda storage: storage.put(NAME, BytesSource(b"{}")),
    lambda storage: storage.entries(),
    lambda storage: storage.delete(NAME),
    lambda storage: storage.sweep(Leftovers()),
    content,
]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_wrong_password_is_told_by_every_verb(place: Sftp, verb: Verb) -> None:
    with pytest.raises(StorageDenied, match="the login was refused") as caught:
        await verb(place.open(private_key_file=None, password="wrong-one"))
    assert "wrong-one" not in str(caught.value)


async def test_a_password_will_do(place: Sftp) -> None:
    storage = place.open(private_key_file=None, password=PASSWORD)
    await storage.put(NAME, BytesSource(b"{}"))
    assert place.keys() == [NAME]


@pytest.mark.parametrize("verb", VERBS)
async def test_an_unknown_host_key_is_refused_with_its_fingerprint(
    place: Sftp, tmp_path: Path, verb: Verb
) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    storage = place.open(host_key=None, known_hosts_file=str(known))
    with pytest.raises(StorageError) as caught:
        await verb(storage)
    assert "is not in the known hosts" in caught.value.message
    assert f"set host_key: {place.server.fingerprint}" in caught.value.hint
    assert place.keys() == place.pending() == []


async def test_another_host_key_than_the_configured_is_refused(place: Sftp) -> None:
    with pytest.raises(StorageError, match="is not the one in host_key"):
        await place.open(host_key="SHA256:" + "A" * 43).entries()


async def test_a_known_host_is_trusted(place: Sftp, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    public = place.server.key.with_name("host.pub").read_text()
    known.write_text(f"[{LOOPBACK}]:{place.server.port} {public}")
    assert await place.open(host_key=None, known_hosts_file=str(known)).entries() == []


@pytest.mark.parametrize(("passphrase", "why"), [("open sesame", ""), ("wrong", "private key")])
async def test_a_key_may_have_a_passphrase(
    place: Sftp, tmp_path: Path, passphrase: str, why: str
) -> None:
    locked = tmp_path / "locked"
    key = asyncssh.read_private_key(place.server.key)
    key.write_private_key(locked, passphrase="open sesame", rounds=50)
    given = {"private_key_file": str(locked), "private_key_passphrase": passphrase}
    if why:
        with pytest.raises(ConfigError, match=why) as caught:
            SETTINGS.validate_python({**SOUND, **given}).check()
        assert "private_key_passphrase" in caught.value.hint
    else:
        assert await place.open(**given).entries() == []


@pytest.mark.parametrize("prefix", ["", "vault/"])
@pytest.mark.parametrize("verb", [VERBS[0], VERBS[1], VERBS[3]])
async def test_a_missing_folder_is_told_and_not_made(place: Sftp, verb: Verb, prefix: str) -> None:
    storage = place.open(prefix, path=str(place.root / "missing"))
    with pytest.raises(StorageError, match="the folder does not exist") as caught:
        await verb(storage)
    assert not isinstance(caught.value, SnapshotNotFound)
    assert not (place.root / "missing").exists()


async def test_only_the_owner_may_read_a_snapshot(place: Sftp) -> None:
    await place.open("vault/").put(NAME, BytesSource(b"{}"))
    assert (place.root / "vault" / NAME).stat().st_mode & 0o777 == 0o600
    assert (place.root / "vault").stat().st_mode & 0o777 == 0o700


async def test_a_server_without_extensions_will_do(
    place: Sftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsupported(*_: object) -> None:
        raise asyncssh.SFTPOpUnsupported("no such extension")

    monkeypatch.setattr(SFTPClientHandler, "posix_rename", unsupported)
    monkeypatch.setattr(SFTPClientHandler, "fsync", unsupported)
    storage = place.open()
    for size in (3, BIG):
        await put_of(storage, place.spools, size)
        assert await content(storage) == bytes_of(size)
    assert place.keys() == [NAME]


@pytest.mark.parametrize("error", [asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure])
async def test_what_had_the_name_comes_back_when_the_new_one_does_not_get_it(
    place: Sftp, monkeypatch: pytest.MonkeyPatch, error: Callable[[str], Exception]
) -> None:
    storage = place.open()
    await storage.put(NAME, BytesSource(b"the old one"))
    real, renamed = SFTPClientHandler.rename, 0

    async def unsupported(*_: object) -> None:
        raise error("no")

    async def rename(*arguments: Any) -> Any:
        nonlocal renamed
        renamed += 1
        if renamed == 2:
            raise asyncssh.SFTPFailure("the new one is refused")
        return await real(*arguments)

    monkeypatch.setattr(SFTPClientHandler, "posix_rename", unsupported)
    monkeypatch.setattr(SFTPClientHandler, "rename", rename)
    with pytest.raises(StorageError, match="the new one is refused"):
        await storage.put(NAME, BytesSource(b"the new one"))
    assert await content(storage) == b"the old one"
    assert place.keys() == [NAME]
    assert place.pending() == []


ODD = [
    OSError(),
    OSError("\n"),
    TimeoutError(),
    ValueError(),
    asyncssh.PermissionDenied(""),
    asyncssh.SFTPFailure(""),
    asyncssh.SFTPNoSuchFile(""),
    asyncssh.SFTPPermissionDenied(""),
    asyncssh.SFTPConnectionLost(""),
    asyncssh.DisconnectError(2, ""),
    asyncssh.KeyExchangeFailed(""),
    asyncssh.ChannelOpenError(1, "line\x1b[2J\nbreak"),
]


@pytest.mark.parametrize("error", ODD, ids=repr)
def test_no_message_has_a_hole(place: Sftp, error: Exception) -> None:
    settings = SETTINGS.validate_python(place.settings())
    told = describe_failure("cannot store a in sftp://host/", settings, error)
    assert told.hint
    assert str(told).isprintable()
    assert not HOLES.search(str(told)), str(told)


async def test_file_reaches_the_disk_before_it_gets_its_name(
    place: Sftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def record(name: str) -> None:
        real = getattr(SFTPClientHandler, name)

        async def told(*arguments: Any) -> Any:
            asked.append(name)
            return await real(*arguments)

        monkeypatch.setattr(SFTPClientHandler, name, told)

    for name in ("fsync", "close", "posix_rename"):
        record(name)
    await place.open().put(NAME, BytesSource(b"{}"))
    assert asked == ["fsync", "close", "posix_rename"]


@pytest.mark.parametrize(
    ("told", "kind"),
    [("No space left on device", StorageFull), ("Failure", StorageError)],
)
async def test_a_failing_disk_is_told_and_keeps_nothing(
    place: Sftp, monkeypatch: pytest.MonkeyPatch, told: str, kind: type[StorageError]
) -> None:
    async def fail(*_: object) -> None:
        raise asyncssh.SFTPFailure(told)

    monkeypatch.setattr(SFTPClientHandler, "fsync", fail)
    with pytest.raises(StorageError, match=told) as caught:
        await put_of(place.open(), place.spools, BIG)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert place.keys() == place.pending() == []


async def test_a_folder_that_may_not_be_written_is_told(
    place: Sftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise asyncssh.SFTPPermissionDenied("Permission denied")

    monkeypatch.setattr(SFTPClientHandler, "open", fail)
    with whole(place.spools, b"snapshot") as source, pytest.raises(StorageDenied) as caught:
        await place.open().put(NAME, source)
    assert str(place.root) in caught.value.hint


async def test_the_library_keeps_quiet(place: Sftp, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await place.open(private_key_file=None, password=PASSWORD).entries()
    assert caplog.records == []


SOUND = {"type": "sftp", "host": "h", "username": "u", "path": "/backups", "password": "p"}


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        SETTINGS.validate_python(SOUND).check()
    assert str(caught.value) == (
        "type sftp needs the extra sftp (pip install 'raft-snapshot-agent[sftp]')"
    )


async def test_a_missing_extra_costs_no_other_storage_its_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = SETTINGS.validate_python(SOUND).open()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StorageError, match="needs the extra"):
        await storage.put(NAME, BytesSource(b"{}"))


@pytest.mark.parametrize("key", ["private_key_file", "known_hosts_file"])
def test_a_missing_file_is_told_before_anybody_is_asked(key: str, tmp_path: Path) -> None:
    settings = SETTINGS.validate_python({**SOUND, key: str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=f"{key} .*/none cannot be used: No such file"):
        settings.check()
    (tmp_path / "none").touch(mode=0o600)
    if key == "private_key_file":
        with pytest.raises(ConfigError, match=r"private key in .*/none: Invalid"):
            settings.check()
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "none")
    settings.check()
    assert os.access(tmp_path / "none", os.R_OK)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"password": None}, "set password or private_key_file"),
        ({"private_key_passphrase": "x"}, "needs private_key_file"),
        ({"host_key": "MD5:00:11"}, "SHA256"),
        ({"host_key": "SHA256:" + "A" * 43, "known_hosts_file": "/k"}, "either"),
        ({"host": "sftp://h"}, "bare name"),
        ({"host": "h:22"}, "bare name"),
        ({"path": ""}, "folder on the server"),
        ({"port": 0}, "greater than"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SETTINGS.validate_python(SOUND | more)


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, "sftp://u@h/backups/x.snap"),
        ({"port": 2222, "prefix": "prod"}, "sftp://u@h:2222/backups/prod/x.snap"),
        ({"host": "::1", "path": "mine/"}, "sftp://u@[::1]/mine/x.snap"),
    ],
)
def test_the_location_is_a_url_without_secrets(more: dict[str, Any], url: str) -> None:
    assert SETTINGS.validate_python(SOUND | more).open().location("x.snap") == url


async def test_a_folder_with_too_many_files_is_told(place: Sftp) -> None:
    storage = place.open(max_objects=3)
    for number in range(4):
        await storage.put(f"{number}.snap", BytesSource(b"x"))
    with pytest.raises(StorageError, match="more than 3 objects") as caught:
        await storage.entries()
    assert "max_objects" in caught.value.hint
