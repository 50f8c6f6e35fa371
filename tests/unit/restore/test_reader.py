from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives

from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.verification import Expected, compare
from raft_snapshot_agent.errors import (
    AgentError,
    MismatchedSnapshot,
    StorageDenied,
    VerificationError,
)
from raft_snapshot_agent.restore.examine import examine, naming
from raft_snapshot_agent.restore.reader import FileReader, StoredReader, pour
from raft_snapshot_agent.storage.base import BytesSource, Entry
from raft_snapshot_agent.transfer.spool import Spool

OLD = "raft-snapshot-20261122T153000Z-i4000.snap"
NEW = "raft-snapshot-20261123T153000Z-i4711.snap"
WHOLE = archives.archive()


class Down(MemoryStorage):
    """A storage that refuses to list."""

    async def entries(self) -> list[Entry]:
        raise StorageDenied("no entry")


def described(name: str, content: bytes = WHOLE) -> Manifest:
    snapshot = archives.verified(content)
    return Manifest(
        snapshot=name,
        taken_at="2026-11-23T15:30:00Z",
        index=snapshot.meta.index,
        term=snapshot.meta.term,
        size=snapshot.size,
        sha256=snapshot.sha256,
        duration=0.5,
        cluster_id="c",
        cluster_name="",
        product="openbao",
        version="2.5.0",
        node="http://127.0.0.1:8200",
        agent_version="0.1.0",
    )


def agreeing(name: str) -> Manifest:
    parsed = parse(name)
    assert parsed is not None
    taken_at = f"{parsed.taken_at:%Y-%m-%dT%H:%M:%SZ}"
    return replace(described(name), taken_at=taken_at, index=parsed.index or 0)


async def destination(
    name: str = "memory", verified: tuple[str, ...] = (), **held: bytes
) -> Destination:
    """A storage that holds snapshots; `verified` ones have a manifest."""
    storage = MemoryStorage()
    for key, content in held.items():
        await storage.put(named(key), BytesSource(content))
    for key in verified:
        await storage.put(manifest_name(named(key)), BytesSource(agreeing(named(key)).to_json()))
    return Destination(name, storage)


def named(key: str) -> str:
    return {"old": OLD, "new": NEW}[key]


async def reader_of(holding: Destination) -> StoredReader:
    (stored,) = await holding.stored()
    return StoredReader(holding, stored)


def of(reader: object) -> tuple[str, str]:
    assert isinstance(reader, StoredReader)
    return reader.destination.name, reader.stored.name


# What it holds.


async def test_a_whole_one_is_proved_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / NEW
    file.write_bytes(WHOLE)

    assert await examine(FileReader(file)) == archives.verified(WHOLE)
    assert await examine(await reader_of(await destination(new=WHOLE))) == archives.verified(WHOLE)
    with file.open() as opened:
        monkeypatch.setattr("sys.stdin", opened)
        assert await examine(FileReader(None)) == archives.verified(WHOLE)


async def test_a_broken_one_is_refused_and_named() -> None:
    reader = await reader_of(await destination(new=WHOLE[:-1]))

    words = f"^memory:{NEW}: the snapshot is broken"
    with pytest.raises(VerificationError, match=words), naming(reader):
        await examine(reader)


async def test_one_that_its_manifest_does_not_describe_is_refused(tmp_path: Path) -> None:
    other = archives.archive(archives.members(state=b"another"))
    stored = await reader_of(await destination(verified=("new",), new=other))
    (tmp_path / NEW).write_bytes(other)
    (tmp_path / manifest_name(NEW)).write_bytes(described(NEW).to_json())

    for reader in (stored, FileReader(tmp_path / NEW)):
        with pytest.raises(VerificationError, match="not the snapshot its manifest describes"):
            await examine(reader)


@pytest.mark.parametrize("beside", [b"", b"{", b"[]", b"{}"])
async def test_what_is_no_manifest_counts_as_none(tmp_path: Path, beside: bytes) -> None:
    (tmp_path / NEW).write_bytes(WHOLE)
    (tmp_path / manifest_name(NEW)).write_bytes(beside)

    assert (await FileReader(tmp_path / NEW).expected()).manifest is None
    assert await examine(FileReader(tmp_path / NEW)) == archives.verified(WHOLE)
    assert (await FileReader(tmp_path / NEW).describe_proof()).startswith("none")


def test_a_manifest_is_compared_by_its_digest() -> None:
    snapshot = archives.verified(WHOLE)

    compare(snapshot, Expected())
    compare(snapshot, Expected(manifest=described(NEW)))
    with pytest.raises(MismatchedSnapshot, match="SHA-256"):
        compare(snapshot, Expected(manifest=replace(described(NEW), sha256="0" * 64)))


@pytest.mark.parametrize(
    "lying",
    [replace(described(NEW), size=1), replace(described(NEW), index=1)],
)
def test_a_manifest_is_compared_by_what_it_tells(lying: Manifest) -> None:
    snapshot = archives.verified(WHOLE)

    with pytest.raises(MismatchedSnapshot, match="tells another size, index or term"):
        compare(snapshot, Expected(manifest=lying))
    with pytest.raises(MismatchedSnapshot, match="its name says index 5, it holds"):
        compare(snapshot, Expected(index=5))


def test_a_later_attempt_of_a_slot_may_have_a_higher_index_than_its_name() -> None:
    snapshot, manifest = archives.verified(WHOLE), described(NEW)

    compare(snapshot, Expected(index=5, manifest=manifest))
    with pytest.raises(MismatchedSnapshot, match="its name says index 999999, it holds"):
        compare(snapshot, Expected(index=999999, manifest=manifest))


@pytest.mark.parametrize(
    ("path", "words"), [("nowhere", "No such file or directory"), (".", "Is a directory")]
)
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(AgentError, match=f"^cannot read {tmp_path / path}: {words}"):
        await examine(FileReader(tmp_path / path))


async def test_a_proof_that_cannot_be_read_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = await reader_of(await destination(verified=("new",), new=WHOLE))

    async def refuse() -> list[Entry]:
        raise StorageDenied("no entry")

    assert (await reader.describe_proof()).startswith("described by an unsigned manifest")
    monkeypatch.setattr(reader.destination.storage, "entries", refuse)
    assert await reader.describe_proof() == "not known: no entry"


# From a pipe.


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe; whoever still waits for its writer at the end is released."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR))


@pytest.mark.parametrize("is_opened", [True, False])
async def test_a_pipe_that_nobody_writes_to_can_be_given_up(pipe: Path, is_opened: bool) -> None:
    writer = os.open(pipe, os.O_RDWR) if is_opened else None

    with anyio.move_on_after(0.05) as scope:
        await examine(FileReader(pipe))

    assert scope.cancelled_caught
    if writer is not None:
        os.close(writer)


async def test_a_pipe_is_read_once(pipe: Path) -> None:
    reader = FileReader(pipe)
    assert reader.again() is None

    with ThreadPoolExecutor() as threads:
        threads.submit(pipe.write_bytes, WHOLE[:-1])
        with pytest.raises(VerificationError, match="the snapshot is broken"):
            await examine(reader)


# On its way into a spool.


class Endless(FileReader):
    """A pipe whose other end never writes again."""

    async def read(self) -> AsyncIterator[bytes]:
        yield WHOLE[:100]
        await anyio.sleep_forever()


async def test_pouring_fills_the_spool(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "run") as spool:
        await pour(await reader_of(await destination(new=WHOLE)), spool)

        assert spool.wait_for_bytes(0) == len(WHOLE)
        assert spool.path.read_bytes() == WHOLE


async def test_a_failure_to_read_is_the_spools(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "run") as spool:
        await pour(FileReader(tmp_path / "nowhere"), spool)

        assert isinstance(spool.error, AgentError)
        with pytest.raises(AgentError, match="nowhere"):
            spool.wait_for_bytes(0)


async def test_giving_up_wakes_whoever_follows_the_spool(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "run") as spool:
        with anyio.move_on_after(0.01):
            await pour(Endless(None), spool)

        with pytest.raises(AgentError, match="given up"):
            spool.wait_for_bytes(100)


async def test_a_defect_wakes_whoever_follows_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("has no number"))
    with Spool.create(tmp_path, "run") as spool:
        with pytest.raises(io.UnsupportedOperation):
            await pour(FileReader(None), spool)

        with pytest.raises(AgentError, match="given up"):
            spool.wait_for_bytes(0)
