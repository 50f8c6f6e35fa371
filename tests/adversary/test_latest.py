"""Which snapshot is the latest, and who says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.adversary.history import KEYS, Site, archive_of, manifest_for
from tests.choosing import choose_named, choose_newest

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY, Sidecar
from raft_snapshot_agent.errors import MismatchedSnapshot, SnapshotNotFound
from raft_snapshot_agent.restore.examine import examine
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.storage.base import BytesSource

NOW = datetime.now(UTC).replace(microsecond=0)
OLD, GOOD = (
    AGENT.name(AGENT.run(NOW - timedelta(hours=hours), "abcdef"), index)
    for hours, index in ((50, 900), (2, 1000))
)
LATER = AGENT.name(AGENT.run(NOW - timedelta(hours=1), "bad000"), 1000)
SAME = AGENT.name(AGENT.run(NOW - timedelta(hours=1), "bad000"), 900)
HIGHER = AGENT.name(AGENT.run(NOW - timedelta(hours=1), "bad000"), 2000)
FUTURE = AGENT.name(AGENT.run(NOW + timedelta(days=400), "bad000"), 2000)
OLD_CONTENT = archive_of(900, NOW - timedelta(hours=50))
GOOD_CONTENT = archive_of(1000, NOW - timedelta(hours=2))


async def stored(*, signed: bool) -> Site:
    """A storage with two good snapshots."""
    site = Site(KEYS if signed else None)
    for name, content in ((OLD, OLD_CONTENT), (GOOD, GOOD_CONTENT)):
        told = manifest_for(name, content)
        await site.storage.put(name, BytesSource(content))
        beside = KEYS.sign(told) if signed else told
        await site.storage.put(manifest_name(name), BytesSource(beside.to_json()))
    return site


async def chosen(site: Site) -> str:
    reader = await choose_newest([site.destination])
    assert isinstance(reader, StoredReader)
    await examine(reader)
    return reader.stored.name


def lying(name: str, **lies: Any) -> Callable[[Site], Awaitable[None]]:
    return lambda site: site.forge(name, archive_of(2000, NOW), **lies)


ADDED: dict[str, Callable[[Site], Awaitable[None]]] = {
    "an old one under a later name": lambda site: site.forge(SAME, OLD_CONTENT),
    "an old one under a later name and a higher index": lambda site: site.forge(
        HIGHER, OLD_CONTENT
    ),
    "one from the future": lambda site: site.forge(FUTURE, archive_of(2000)),
    "only a name": lambda site: site.add(LATER, archive_of(1000)),
    "a manifest of another": lying(HIGHER, snapshot=GOOD),
    "a manifest of another index": lying(HIGHER, index=1000),
    "a manifest of another size": lying(HIGHER, size=3),
    "a manifest of another time": lying(HIGHER, taken_at="2020-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED.keys())
@pytest.mark.parametrize("signed", [False, True], ids=["no key", "key"])
async def test_the_latest_is_one_whose_name_manifest_and_archive_agree(
    signed: bool, added: Callable[[Site], Awaitable[None]]
) -> None:
    site = await stored(signed=signed)
    await added(site)

    assert await chosen(site) == GOOD


async def test_with_a_key_the_latest_is_the_latest_signed_one() -> None:
    site = await stored(signed=True)
    await site.forge(HIGHER, archive_of(2000, NOW))

    assert await chosen(site) == GOOD
    assert await chosen(await stored(signed=False)) == GOOD


async def test_an_archive_of_another_day_is_refused_as_the_latest_and_had_by_its_name() -> None:
    site = await stored(signed=False)
    await site.storage.delete(OLD)
    await site.storage.delete(manifest_name(OLD))
    await site.forge(SAME, OLD_CONTENT)

    with pytest.raises(MismatchedSnapshot, match="and its name tells another day"):
        await chosen(site)
    assert await examine(await choose_named([site.destination], SAME))


async def test_nothing_that_can_be_believed_is_told_as_that() -> None:
    site = Site()
    await site.forge(FUTURE, archive_of(2000))
    await lying(HIGHER, size=3)(site)

    with pytest.raises(SnapshotNotFound, match="none of the 2 snapshots") as caught:
        await choose_newest([site.destination])
    assert "give its name" in str(caught.value)


@pytest.mark.parametrize(
    ("signed", "name", "words"),
    [
        (True, GOOD, "signed with the agents' key"),
        (False, GOOD, "anyone with write access could have written"),
        (True, HIGHER, "unsigned"),
        (True, LATER, "unsigned"),
        (False, LATER, "described only by its name"),
        (True, SAME, "the signature of its manifest is wrong"),
        (False, OLD + "x", "described only by its name"),
    ],
    ids=[
        "signed",
        "described",
        "not signed",
        "no manifest",
        "no key",
        "wrong signature",
        "odd name",
    ],
)
async def test_it_is_told_who_vouches_for_a_snapshot(signed: bool, name: str, words: str) -> None:
    site = await stored(signed=signed)
    await site.forge(HIGHER, archive_of(2000))
    await site.forge(SAME, archive_of(900), signature="hmac-sha256:00")
    await site.add(LATER, archive_of(1000))
    await site.add(OLD + "x", archive_of(1000))

    assert words in await (await choose_named([site.destination], name)).describe_proof()


async def test_with_a_key_only_agents_tell_which_are_safety_snapshots() -> None:
    site = await stored(signed=True)
    told = KEYS.sign(manifest_for(GOOD, GOOD_CONTENT))
    for manifest, latest in (
        (replace(told, purpose=SAFETY), GOOD),
        (KEYS.sign(replace(told, purpose=SAFETY)), OLD),
    ):
        await site.storage.put(manifest_name(GOOD), BytesSource(manifest.to_json()))
        assert await chosen(Site(KEYS, storage=site.storage)) == latest


async def test_notes_take_nothing_from_the_latest() -> None:
    site = await stored(signed=True)
    await site.add(Sidecar.BROKEN.name_for(GOOD), b"")

    assert await chosen(site) == OLD, "until somebody reads the other: it is said to be broken"
