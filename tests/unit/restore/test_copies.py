"""Which copy of a snapshot is read where one is broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.restore.test_reader import NEW, WHOLE, agreeing, described, destination

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, StorageUnavailable, VerificationError
from raft_snapshot_agent.restore.choice import choose
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.restore.restore import fetch_copy
from raft_snapshot_agent.storage.base import BytesSource, Entry

BROKEN = WHOLE[:-9] + b"x" * 9


class Silent(MemoryStorage):
    """A storage that lists, and reads nothing."""

    async def read(self, name: str) -> AsyncIterator[bytes]:
        raise StorageUnavailable(f"cannot read {name}: no answer")
        yield b""


async def silent() -> Destination:
    storage = Silent()
    await storage.put(NEW, BytesSource(WHOLE))
    return Destination("silent", storage)


def left_in(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def fetched(places: list[Destination], folder: Path, told: list[str]) -> str:
    """Fetch the snapshot by its name; return the storage that it came from."""
    reader = await choose(places, NEW)
    async with fetch_copy(reader, folder, tell=told.append) as got:
        assert got.spool.path.read_bytes() == WHOLE
        assert isinstance(got.reader, StoredReader)
        name = got.reader.destination.name
    assert left_in(folder) == []
    return name


async def test_a_broken_copy_is_told_and_the_next_is_read(tmp_path: Path) -> None:
    told: list[str] = []
    places = [
        await destination("local", new=BROKEN),
        await destination("other"),
        await destination("s3", new=WHOLE),
    ]

    assert await fetched(places, tmp_path, told) == "s3"

    (warning,) = told
    assert warning.startswith(f"memory:{NEW}: the snapshot is broken: ")
    assert f"; memory:{NEW} is whole, and is used" in warning
    assert warning.endswith(f"(to replace the broken one: copy {NEW} --from s3 --to local)")


async def test_a_copy_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    told: list[str] = []
    places = [await silent(), await destination("s3", new=WHOLE)]

    assert await fetched(places, tmp_path, told) == "s3"

    (warning,) = told
    assert "no answer" in warning
    assert "--from" not in warning, "copy could not read it either"


async def test_a_whole_copy_costs_no_look_at_the_others(tmp_path: Path) -> None:
    class Unasked(MemoryStorage):
        async def entries(self) -> list[Entry]:
            raise AssertionError

    places = [await destination("local", new=WHOLE), Destination("s3", Unasked())]
    assert await fetched(places, tmp_path, []) == "local"


async def test_only_if_all_are_broken_it_fails(tmp_path: Path) -> None:
    told: list[str] = []
    places = [await destination(name, new=BROKEN) for name in ("local", "s3")]

    with pytest.raises(VerificationError, match="the snapshot is broken"):
        await fetched(places, tmp_path, told)

    assert len(told) == 1
    assert left_in(tmp_path) == []


async def test_one_that_may_be_whole_decides_before_those_that_are_broken(tmp_path: Path) -> None:
    told: list[str] = []
    places = [await destination("local", new=BROKEN), await silent()]

    with pytest.raises(AgentError, match="no answer"):
        await fetched(places, tmp_path, told)

    assert "the snapshot is broken" in told[0]


async def test_another_snapshot_of_that_name_is_no_copy(tmp_path: Path) -> None:
    places = [await destination("local", new=BROKEN), await destination("s3", new=WHOLE)]
    for place, told in ((places[0], described(NEW)), (places[1], agreeing(NEW))):
        other = replace(told, sha256=("a" if place is places[0] else "b") * 64)
        await place.storage.put(manifest_name(NEW), BytesSource(other.to_json()))

    with pytest.raises(VerificationError):
        await fetched(places, tmp_path, [])
