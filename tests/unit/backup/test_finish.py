"""What is told of a storage after a snapshot is stored, with storages in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.backup import finish as steps
from raft_snapshot_agent.backup.finish import finish
from raft_snapshot_agent.backup.lookup import read_history
from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import AGENT, Layout, Naming
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import survey
from raft_snapshot_agent.storage.base import BytesSource, UploadSource

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class NoManifests(MemoryStorage):
    """A storage that stores everything but manifests."""

    async def put(self, name: str, source: UploadSource) -> int:
        if name.endswith(".json"):
            raise OSError("no room")
        return await super().put(name, source)


class Silent(MemoryStorage):
    """A storage that does not answer to a delete."""

    async def delete(self, name: str) -> None:
        await anyio.sleep_forever()


def manifest_of(name: str, taken_at: datetime, index: int, size: int) -> Manifest:
    said = taken_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Manifest(
        name, said, index, 2, size, "ab", 1.0, "id", "c", "openbao", "2.4.1", "http://n", "1"
    )


async def deliver(destination: Destination, name: str, hours: int) -> Delivery:
    """Store a snapshot some hours later, as a run does."""
    at, content = NOW + hours * HOUR, b"x" * (100 + hours)
    before = await read_history(destination, Instant(), at)
    await destination.storage.put(name, BytesSource(content))
    manifest = manifest_of(name, at, 10 + hours, len(content))
    begun = Delivery(destination.name, "memory")
    if not destination.replaces:
        before = await read_history(destination, Instant(), at)
    return await finish(destination, manifest, before, begun, Unsettled(), lambda: at)


@pytest.mark.parametrize("storage", [MemoryStorage, NoManifests])
@pytest.mark.parametrize(
    ("static_name", "naming", "names"),
    [
        ("latest.snap", AGENT, ["latest.snap"] * 2),
        (None, Layout("vault-", "20060102T1504"), ["vault-20261123T1530.snap"] * 2),
        (None, AGENT, [AGENT.name(AGENT.run(NOW + n * HOUR, "0a1b2c"), 10 + n) for n in (0, 1)]),
    ],
)
async def test_what_is_told_of_a_storage_is_what_a_look_finds(
    storage: type[MemoryStorage], static_name: str | None, naming: Naming, names: list[str]
) -> None:
    destination = Destination("s", storage(), static_name=static_name, naming=naming)
    await deliver(destination, names[0], 0)
    told = (await deliver(destination, names[1], 1)).survey

    now = NOW + HOUR
    found = await survey(destination, await destination.current(), now)
    assert told is not None
    if static_name is not None:
        assert found.alarm is None  # no note of it is kept there
        told = replace(told, alarm=None)
    assert replace(told, took=0.0, scrubbed=None) == replace(found, took=0.0, scrubbed=None)
    assert told.listed[0].size == 101


async def test_a_limit_that_was_met_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_PRUNE_WITHIN", 0.05)
    destination = Destination("s", Silent(), Retention(last=1))
    names = [AGENT.name(AGENT.run(NOW + n * HOUR, "0a1b2c"), 10 + n) for n in (0, 1)]
    first, second = [await deliver(destination, name, n) for n, name in enumerate(names)]

    assert first.warnings == ()
    assert second.warnings == ("old snapshots are not pruned: no answer within 0.05 s",)
