"""Which copy of a snapshot is read where one is broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.adversary.history import KEYS
from tests.choosing import choose_named
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives
from tests.unit.restore.test_reader import NEW, WHOLE, Down, agreeing, described, destination

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    NotThereYet,
    StorageDenied,
    StorageUnavailable,
    VerificationError,
)
from raft_snapshot_agent.restore.fetching import fetch_copy
from raft_snapshot_agent.restore.reader import StoredReader
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
    reader = await choose_named(places, NEW)
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
    for place, manifest in ((places[0], described(NEW)), (places[1], agreeing(NEW))):
        other = replace(manifest, sha256=("a" if place is places[0] else "b") * 64)
        await place.storage.put(manifest_name(NEW), BytesSource(other.to_json()))

    told: list[str] = []
    with pytest.raises(VerificationError):
        await fetched(places, tmp_path, told)
    assert told == ["s3: its copy is not used: its manifest tells another SHA-256"]


# What proves that it is a copy.

UNSIGNED = agreeing(NEW)
SIGNED = KEYS.sign(UNSIGNED)


async def holding(name: str, content: bytes, manifest: Manifest | None = None) -> Destination:
    """A storage with a signing key, and a snapshot with this manifest."""
    place = replace(await destination(name, new=content), signing=lambda: KEYS)
    if manifest is not None:
        await place.storage.put(manifest_name(NEW), BytesSource(manifest.to_json()))
    return place


@pytest.mark.parametrize("ours", [SIGNED, UNSIGNED])
async def test_another_archive_than_that_of_the_known_sha256_is_not_used(
    tmp_path: Path, ours: Manifest
) -> None:
    told: list[str] = []
    other = archives.archive(archives.members(state=b"another"))
    places = [await holding("local", BROKEN, ours), await holding("s3", other)]

    with pytest.raises(VerificationError, match="the snapshot is broken"):
        await fetched(places, tmp_path, told)

    assert "not the snapshot that the manifest of the first copy describes" in told[0]
    assert "--from" not in told[0]


async def test_a_copy_needs_no_manifest_where_the_sha256_is_known(tmp_path: Path) -> None:
    places = [await holding("local", BROKEN, SIGNED), await holding("s3", WHOLE)]

    assert await fetched(places, tmp_path, []) == "s3"


async def test_with_a_key_only_a_signed_manifest_proves_a_copy(tmp_path: Path) -> None:
    first = await holding("local", BROKEN)
    forged = await holding("s3", WHOLE, UNSIGNED)
    told: list[str] = []

    assert await fetched([first, forged, await holding("gcs", WHOLE, SIGNED)], tmp_path, told) == (
        "gcs"
    )
    assert any(one.startswith("s3: its copy is not used: no manifest proves") for one in told)


async def test_a_signed_manifest_goes_before_an_unsigned_one(tmp_path: Path) -> None:
    forged = replace(UNSIGNED, sha256="f" * 64)
    places = [await holding("local", BROKEN, forged), await holding("s3", WHOLE, SIGNED)]

    assert await fetched(places, tmp_path, []) == "s3"


async def test_without_a_key_a_manifest_replaces_one_that_cannot_be_read(tmp_path: Path) -> None:
    first = await silent()
    await first.storage.put(manifest_name(NEW), BytesSource(UNSIGNED.to_json()))

    with pytest.raises(StorageUnavailable):
        await fetched([first, await destination("s3", new=WHOLE)], tmp_path, [])
    described = await destination("gcs", ("new",), new=WHOLE)
    assert await fetched([first, described], tmp_path, []) == "gcs"


# Storages that do not tell whether they have a copy.


async def test_one_that_cannot_be_asked_may_have_a_whole_copy(tmp_path: Path) -> None:
    told: list[str] = []
    places = [await destination("local", new=BROKEN), Destination("s3", Down())]

    with pytest.raises(StorageDenied):
        await fetched(places, tmp_path, told)
    assert "the snapshot is broken" in told[0]

    told.clear()
    assert await fetched([*places, await destination("gcs", new=WHOLE)], tmp_path, told) == "gcs"
    assert len(told) == 1, "what s3 has does not matter any more"


async def test_a_folder_that_is_not_there_yet_has_no_copy(tmp_path: Path) -> None:
    class NotMade(MemoryStorage):
        async def entries(self) -> list[Entry]:
            raise NotThereYet("there is no folder")

    with pytest.raises(VerificationError):
        await fetched(
            [await destination("local", new=BROKEN), Destination("new", NotMade())], tmp_path, []
        )
