"""Where a safety snapshot goes, and what it never is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.choosing import choose_named, choose_newest
from tests.stores.memory import MemoryStorage
from tests.unit.core import archives
from tests.unit.restore.test_reader import NEW, OLD, agreeing

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import Layout, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY, Manifest, Sidecar
from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    Denied,
    Sealed,
    ServerError,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.restore.safety import take_safety_snapshot
from raft_snapshot_agent.restore.safety_marks import HELD_AS
from raft_snapshot_agent.storage.base import BytesSource, UploadSource

TAKEN = "raft-snapshot-20261124T153000Z-i5000-0a1b2c.snap"
NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


class Takes:
    """An agent that stores one snapshot in all that it is given, or fails."""

    def __init__(self, error: AgentError | None = None, broken: Sequence[str] = ()) -> None:
        self.given: Sequence[Destination] = ()
        self._error, self._broken = error, broken

    def open(self, destinations: Sequence[Destination]) -> Agent:
        self.given = destinations
        agent: Any = self
        found: Agent = agent
        return found

    async def run_and_leave(self) -> Report:
        done = []
        for one in self.given:
            location = one.storage.location(TAKEN)
            error = StorageDenied("no") if one.name in self._broken else None
            if error is None:
                await one.storage.put(TAKEN, BytesSource(b"x"))
            done.append(Delivery(one.name, "memory", location, error=error, name=TAKEN))
        snapshot = None if self._error else archives.verified(archives.archive())
        return Report("r", NOW, NOW, snapshot, deliveries=tuple(done), error=self._error)


async def place(name: str = "memory", cluster: str = "c", **more: Any) -> Destination:
    storage = MemoryStorage()
    await storage.put(OLD, BytesSource(archives.archive()))
    manifest = replace(agreeing(OLD), cluster_id=cluster)
    await storage.put(manifest_name(OLD), BytesSource(manifest.to_json()))
    return Destination(name, storage, **more)


async def names(destination: Destination) -> set[str]:
    return {one.name for one in await destination.storage.entries()}


async def test_it_is_held_where_this_clusters_snapshots_are(tmp_path: Path) -> None:
    places = [await place("a", retention=Retention(last=1)), await place("b")]
    agent = Takes()
    safety = await take_safety_snapshot([agent.open], places, "c", tmp_path)

    assert (safety.name, safety.places, safety.warnings) == (TAKEN, ("a", "b"), ())
    for one in places:
        assert {TAKEN, Sidecar.HOLD.name_for(TAKEN), OLD} <= await names(one)
    assert all(one.retention.keeps_all for one in agent.given)
    for one in agent.given:  # and its manifest says what it is
        manifest = (await one.judge_and_sign(None, agreeing(TAKEN))).manifest
        assert Manifest.from_json(manifest.to_json()).purpose == SAFETY

    await safety.release_hold()
    for one in places:
        assert Sidecar.HOLD.name_for(TAKEN) not in await names(one)
        assert TAKEN in await names(one)


async def test_it_replaces_nothing_and_mixes_with_no_other_history(tmp_path: Path) -> None:
    layout = Layout("vault-", "%Y%m%dT%H%M", ".snap")
    minute = await place("minute", naming=layout)
    for ahead in (0, 60):  # the next one may begin meanwhile
        run = layout.run(datetime.now(UTC) + timedelta(seconds=ahead), "0" * 16)
        await minute.storage.put(layout.name(run, 0), BytesSource(b"x"))
    places = [
        await place("static", static_name=OLD),
        minute,
        await place("theirs", cluster="another"),
        await place("ours"),
    ]
    safety = await take_safety_snapshot([Takes().open], places, "c", tmp_path)

    assert safety.places == ("ours",)
    assert [one.partition(":")[0] for one in safety.warnings] == ["static", "minute", "theirs"]
    for one in places[:-1]:
        assert TAKEN not in await names(one)


async def test_where_no_storage_can_have_it_it_is_a_file(tmp_path: Path) -> None:
    for places in ([], [await place(cluster="another")]):
        safety = await take_safety_snapshot([Takes().open], places, "c", tmp_path)
        assert safety.name == str(tmp_path / TAKEN)
        assert safety.held_by == ()
        assert (tmp_path / TAKEN).exists()


async def test_one_storage_that_has_it_is_enough(tmp_path: Path) -> None:
    places = [await place("a"), await place("b")]
    safety = await take_safety_snapshot([Takes(broken="a").open], places, "c", tmp_path)
    assert safety.places == ("b",)
    assert safety.warnings == ("a: no",)
    with pytest.raises(StorageError, match=r"could be stored: a: no; b: no .*--no-safety"):
        await take_safety_snapshot([Takes(broken="ab").open], places, "c", tmp_path)


async def test_the_next_login_is_tried_where_one_is_refused(tmp_path: Path) -> None:
    good = Takes()
    agents = [Takes(Denied("403")).open, good.open]
    assert (await take_safety_snapshot(agents, [], "c", tmp_path)).places == ("file",)
    assert good.given
    unused = Takes()
    with pytest.raises(ServerError, match=r"no safety snapshot could be taken: sealed .*--no-saf"):
        await take_safety_snapshot([Takes(Sealed("sealed")).open, unused.open], [], "c", tmp_path)
    assert not unused.given


class NoNotes(MemoryStorage):
    """A storage that takes no holds."""

    async def put(self, name: str, source: UploadSource) -> int:
        if name.endswith(Sidecar.HOLD):
            raise StorageDenied("no notes")
        return await super().put(name, source)


async def test_one_that_cannot_be_held_is_told(tmp_path: Path) -> None:
    places = [Destination("a", NoNotes())]
    safety = await take_safety_snapshot([Takes().open], places, "c", tmp_path)
    assert safety.held_by == ()
    assert "may be pruned: no notes" in safety.warnings[0]


async def test_a_safety_snapshot_is_never_the_latest() -> None:
    one = await place()
    await one.storage.put(NEW, BytesSource(archives.archive()))
    manifest = replace(agreeing(NEW), sha256="b" * 64)  # else it is a copy
    await one.storage.put(manifest_name(NEW), BytesSource(manifest.to_json()))
    for note, latest in (("held by an operator", NEW), (HELD_AS, OLD)):
        await one.mark(NEW, Sidecar.HOLD, note)
        reader = await choose_newest((one,))
        assert isinstance(reader, StoredReader)
        assert reader.stored.name == latest
    await one.mark(OLD, Sidecar.HOLD, HELD_AS)
    with pytest.raises(SnapshotNotFound, match="all that is stored are safety snapshots"):
        await choose_newest((one,))
    named = await choose_named((one,), NEW)
    assert named.label.endswith(NEW)


async def test_one_whose_hold_was_released_is_not_the_latest_either() -> None:
    """After a no, a refusal, or the operator's own release."""
    one = await place()
    await one.storage.put(NEW, BytesSource(archives.archive()))
    manifest = replace(agreeing(NEW), sha256="b" * 64, purpose=SAFETY)
    await one.storage.put(manifest_name(NEW), BytesSource(manifest.to_json()))

    reader = await choose_newest((one,))

    assert isinstance(reader, StoredReader)
    assert reader.stored.name == OLD


async def test_a_name_that_is_none_ends_with_the_nearest() -> None:
    one = await place()
    with pytest.raises(SnapshotNotFound) as raised:
        await choose_named((one,), OLD.replace("i4000", "i4001"))
    assert f"nearest: {OLD}; list shows" in raised.value.hint
    with pytest.raises(SnapshotNotFound) as raised:
        await choose_named((one,), "xyz")
    assert raised.value.hint.startswith("list shows")


async def test_several_of_one_moment_are_for_the_operator_to_choose_from() -> None:
    storage, other = MemoryStorage(), MemoryStorage()
    # As text, the second would be the first.
    first, second = (re.sub(r"-i\d+", f"-i{index}", TAKEN) for index in (999, 1000))
    for where, name in ((storage, first), (other, first), (other, second)):
        await where.put(name, BytesSource(b"abc"))
    when = datetime(2026, 11, 25, tzinfo=UTC)
    assert (await choose_newest((Destination("a", storage),), when)).stored.name == first
    with pytest.raises(ConfigError, match=f"2 snapshots were taken at .*: {first}, {second}"):
        await choose_newest((Destination("a", storage), Destination("b", other)), when)
    await other.put(manifest_name(second), BytesSource(replace(agreeing(second), size=3).to_json()))
    places = (Destination("a", storage), Destination("b", other))
    assert (await choose_newest(places, when)).stored.name == second
