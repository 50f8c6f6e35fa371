"""What every storage promises, tried on each of them."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import anyio
import pytest
from tests.contract.destinations import Local, Place
from tests.contract.sources import MIB, NAME, Watched, beside, bytes_of, content, whole
from tests.processes.command import Command

from raft_snapshot_agent.errors import SnapshotNotFound, Stopped, StorageError, VerificationError
from raft_snapshot_agent.network.idle import close_idle
from raft_snapshot_agent.storage.azure import listing as azure
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.gcs import bucket as gcs
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.s3 import listing as s3
from raft_snapshot_agent.storage.swift import container as swift

OTHER = "raft-snapshot-20261123T163000Z-i4712-0d1e2f.snap"
OF_A_DEAD_RUN = "raft-snapshot-20261123T153000Z-i4711-dead01.snap"


async def names(storage: Storage) -> set[str]:
    return {entry.name for entry in await storage.entries()}


@pytest.mark.parametrize(("parts", "more"), [(0, 3), (1, 0), (2, 1)])
async def test_what_was_put_is_read_back(destination: Place, parts: int, more: int) -> None:
    size = parts * destination.part + more
    storage = destination.open()
    snapshot = bytes_of(size)
    with whole(destination.spools, snapshot) as source:
        assert await storage.put(NAME, source) == size
    assert await content(storage, NAME) == snapshot
    assert [(entry.name, entry.size) for entry in await storage.entries()] == [(NAME, size)]


async def test_a_manifest_is_put_like_a_snapshot(destination: Place) -> None:
    storage = destination.open()
    await storage.put(f"{NAME}.json", BytesSource(b"{}"))
    assert await content(storage, f"{NAME}.json") == b"{}"


async def test_nothing_is_visible_before_the_verdict(destination: Place) -> None:
    storage = destination.open()
    some, all_ = destination.part * 5 // 3, destination.part * 5 // 2
    snapshot = bytes_of(all_)
    with Watched(destination.spools) as source:
        async with beside(source, storage.put, NAME, source):
            source.grow(snapshot[:some])
            await source.reached(some)
            assert await names(storage) == set()
            assert destination.keys() == []
            source.grow(snapshot[some:])
            await source.reached(all_)
            assert destination.keys() == []
            source.accept()
    assert await content(storage, NAME) == snapshot


@pytest.mark.parametrize("arrived", [5, 20 * MIB])
async def test_a_source_that_fails_leaves_nothing(destination: Place, arrived: int) -> None:
    storage = destination.open()
    error = VerificationError("the snapshot is cut off")
    with Watched(destination.spools) as source:
        async with beside(source, _fails_with, error, storage, source):
            source.grow(bytes_of(arrived))
            await source.reached(arrived)
            source.fail(error)
    assert destination.keys() == []
    assert destination.pending() == []


async def _fails_with(error: VerificationError, storage: Storage, source: Watched) -> None:
    with pytest.raises(VerificationError) as caught:
        await storage.put(NAME, source)
    assert caught.value is error


@pytest.mark.parametrize("arrived", [5, 20 * MIB])
async def test_a_cancelled_put_leaves_nothing_once_the_source_has_failed(
    destination: Place, arrived: int
) -> None:
    storage = destination.open()
    with Watched(destination.spools) as source:
        async with beside(source, _put_until_stopped, storage, source) as tasks:
            source.grow(bytes_of(arrived))
            await source.reached(arrived)
            tasks.cancel_scope.cancel()
            source.fail(Stopped("the agent was told to stop"))
    assert destination.keys() == []
    assert destination.pending() == []


async def _put_until_stopped(storage: Storage, source: Watched) -> None:
    with suppress(Stopped):
        await storage.put(NAME, source)


async def test_a_source_that_fails_leaves_what_had_the_name_before(destination: Place) -> None:
    storage = destination.open()
    await storage.put(NAME, BytesSource(b"before"))
    with Watched(destination.spools) as source:
        source.grow(bytes_of(14 * MIB))
        error = VerificationError("the snapshot is cut off")
        source.fail(error)
        await _fails_with(error, storage, source)
    assert await content(storage, NAME) == b"before"


async def test_put_replaces_what_had_the_name(destination: Place) -> None:
    storage = destination.open()
    await storage.put(NAME, BytesSource(b"the first, which is longer"))
    with whole(destination.spools, b"the second") as source:
        await storage.put(NAME, source)
    assert await content(storage, NAME) == b"the second"
    assert [entry.size for entry in await storage.entries()] == [len(b"the second")]


async def test_a_folder_that_has_the_name_keeps_its_files(destination: Place) -> None:
    """Buckets have no folders, and may hold both; where there are folders, it is told."""
    storage = destination.open()
    inside = f"{NAME}/{OTHER}"
    destination.plant([inside])
    told: AbstractContextManager[object] = suppress(StorageError)
    if isinstance(destination, Local):
        told = pytest.raises(StorageError, match="a folder has this name")
    with told:
        await storage.put(NAME, BytesSource(b"in the way"))
    assert set(destination.keys()) - {NAME} == {inside}
    assert destination.pending() == []


async def test_an_empty_storage_has_no_entries(destination: Place) -> None:
    storage = destination.open("vault/")
    assert await storage.entries() == []
    assert await storage.sweep(Leftovers(frozenset({"dead01"}))) == 0


async def test_foreign_objects_are_entries_and_folders_are_not(destination: Place) -> None:
    storage = destination.open("vault/")
    destination.plant(["vault/notes.txt", "vault/old/raft_snapshot-1.snap", "README"])
    await storage.put(NAME, BytesSource(b"ours"))
    assert await names(storage) == {NAME, "notes.txt"}


@pytest.mark.parametrize("prefix", ["Sicherung für Vault/", "a+b/c%20d/~x/", "日本/"])
async def test_any_printable_prefix_will_do(destination: Place, prefix: str) -> None:
    storage = destination.open(prefix)
    await storage.put(NAME, BytesSource(b"ours"))
    assert await names(storage) == {NAME}
    assert await content(storage, NAME) == b"ours"
    assert destination.keys() == [prefix + NAME]
    await storage.delete(NAME)
    assert destination.keys() == []


async def test_prefixes_that_begin_alike_are_apart(destination: Place) -> None:
    vault, prod = destination.open("vault/"), destination.open("vault-prod/")
    await vault.put(NAME, BytesSource(b"vault"))
    await prod.put(OTHER, BytesSource(b"prod"))
    assert await names(vault) == {NAME}
    assert await names(prod) == {OTHER}


async def test_more_entries_than_one_page_holds(
    destination: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (azure, gcs, s3, swift):
        monkeypatch.setattr(module, "PAGE", 50)
    storage = destination.open("vault/")
    # More than OpenSSH, too, tells of at once.
    planted = {f"raft_snapshot-{number}.snap" for number in range(203)}
    destination.plant(f"vault/{name}" for name in planted)
    assert await names(storage) == planted


async def test_no_connection_stays_open(destination: Place) -> None:
    before = sockets()
    storage = destination.open("vault/")
    await storage.put(NAME, BytesSource(b"x" * 100))
    assert await names(storage) == {NAME}
    assert await content(storage, NAME) == b"x" * 100
    with anyio.fail_after(60):
        while sockets() - before:
            await anyio.sleep(0.1)
            close_idle(0.5)


def sockets() -> set[str]:
    """Find the open sockets of this process."""
    links = set[str]()
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.add(str(one.readlink()))
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.parametrize("name", [NAME, "../secret", "", ".."])
async def test_reading_what_is_not_there(destination: Place, name: str) -> None:
    storage = destination.open("vault/")
    destination.plant(["secret"])
    with pytest.raises(SnapshotNotFound) as caught:
        await content(storage, name)
    assert caught.value.hint


async def test_a_deleted_snapshot_is_gone_and_its_neighbour_is_not(destination: Place) -> None:
    storage = destination.open()
    await storage.put(NAME, BytesSource(b"one"))
    await storage.put(OTHER, BytesSource(b"two"))
    await storage.delete(NAME)
    assert await names(storage) == {OTHER}


async def test_deleting_what_is_gone_is_no_error(destination: Place) -> None:
    storage = destination.open()
    await storage.delete(NAME)
    assert await storage.entries() == []


async def test_puts_at_the_same_time(destination: Place) -> None:
    storage = destination.open()
    more_than_a_part = destination.part + 2 * MIB
    snapshots = {
        f"raft-snapshot-20261123T15300{n}Z-i{n}-00000{n}.snap": bytes_of(more_than_a_part + n)
        for n in range(3)
    }
    with ExitStack() as open_sources:
        async with anyio.create_task_group() as tasks:
            for name, snapshot in snapshots.items():
                source = open_sources.enter_context(
                    whole(destination.spools, snapshot, name[-11:-5])
                )
                tasks.start_soon(storage.put, name, source)
    for name, snapshot in snapshots.items():
        assert await content(storage, name) == snapshot


async def test_a_reader_may_stop_early(destination: Place) -> None:
    storage = destination.open()
    with whole(destination.spools, bytes_of(5 * MIB)) as source:
        await storage.put(NAME, source)
    pieces = storage.read(NAME)
    first = await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    assert bytes_of(5 * MIB).startswith(first)


async def test_location_names_the_object(destination: Place) -> None:
    storage = destination.open()
    assert storage.location(NAME).endswith(NAME)
    assert storage.kind


async def test_what_a_killed_writer_left_is_swept(swept_place: Place) -> None:
    destination = swept_place
    storage = destination.open("vault/")
    destination.plant(["vault/notes.partial"])
    _store_half_and_die(destination, OF_A_DEAD_RUN)
    assert len(destination.pending()) > 0
    assert await names(storage) == {"notes.partial"}
    assert await storage.sweep(Leftovers(frozenset({"dead01"}))) == 1
    assert not [key for key in destination.pending() if OF_A_DEAD_RUN in key]
    assert await names(storage) == {"notes.partial"}


async def test_a_snapshot_can_be_stored_again_after_its_writer_was_killed(
    lasting_place: Place,
) -> None:
    storage = lasting_place.open("vault/")
    _store_half_and_die(lasting_place, OF_A_DEAD_RUN)
    assert lasting_place.keys() == []
    with whole(lasting_place.spools, b"another try") as source:
        await storage.put(OF_A_DEAD_RUN, source)
    assert await content(storage, OF_A_DEAD_RUN) == b"another try"


def _store_half_and_die(destination: Place, name: str) -> None:
    script = str(Path(__file__).with_name("half_way.py"))
    arguments = [json.dumps(destination.settings("vault/")), str(destination.spools), name]
    with Command(arguments, env=os.environ, entry=script, stderr=2) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half-way\n"
        writer.kill()


async def test_what_a_living_writer_has_begun_is_not_swept(swept_place: Place) -> None:
    destination = swept_place
    size = destination.part * 5 // 3
    storage = destination.open()
    with Watched(destination.spools) as source:
        async with beside(source, storage.put, NAME, source):
            source.grow(bytes_of(size))
            await source.reached(size)
            assert await storage.sweep(Leftovers(frozenset({"dead01"}))) == 0
            assert len(destination.pending()) == 1
            source.accept()
    assert await content(storage, NAME) == bytes_of(size)
