"""What describes a snapshot never comes to lie beside another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

import anyio
import pytest
from tests.adversary.history import BEGIN, archive_of, manifest_for
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.destination.sidecars import replacing
from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource

pytestmark = pytest.mark.anyio

NAME = AGENT.name(AGENT.run(BEGIN, "0a0a0a"), 1)
OLD = archive_of(1)
OTHERS = OLD[:200] + bytes([OLD[200] ^ 1]) + OLD[201:]
"""As long as the old one."""
NOTES = {
    manifest_name(NAME): manifest_for(NAME, OLD).to_json(),
    Sidecar.DRILL.name_for(NAME): b"passed\n",
}
NOTHING: Mapping[str, bytes] = {}
KINDS = (Sidecar.MANIFEST, Sidecar.DRILL)


class Disk(MemoryStorage):
    """Holds a snapshot under a static name, with its manifest and a note."""

    def __init__(self) -> None:
        super().__init__()
        self._objects = {NAME: OLD, **NOTES}

    @property
    def texts(self) -> dict[str, bytes]:
        return dict(self._objects)

    async def hold(self, texts: Mapping[str, bytes]) -> None:
        """Store what another agent stores."""
        for name, text in texts.items():
            await self.put(name, BytesSource(text))


async def fail(
    disk: Disk, may_write: Callable[[], bool], others: Mapping[str, bytes] = NOTHING
) -> None:
    """Fail to replace the snapshot, while another agent stores something."""
    with suppress(StorageUnavailable):
        async with replacing(disk, NAME, KINDS, may_write):
            assert not {*NOTES} & {*disk.texts}
            await disk.hold(others)
            raise StorageUnavailable("the connection was cut")


async def test_a_snapshot_that_is_not_replaced_keeps_what_describes_it() -> None:
    disk = Disk()

    await fail(disk, lambda: True)

    assert disk.texts == {NAME: OLD, **NOTES}


@pytest.mark.parametrize(
    "others",
    [
        {NAME: OTHERS},
        {NAME: OTHERS, manifest_name(NAME): b"of the other"},
        {manifest_name(NAME): b"of the other"},
        {NAME: OLD[:-1]},
    ],
    ids=["of the same size", "with its manifest", "only its manifest", "of another size"],
)
@pytest.mark.parametrize("stopped", [False, True])
async def test_the_snapshot_of_another_gets_no_manifest_of_the_old_one(
    others: dict[str, bytes], *, stopped: bool
) -> None:
    disk = Disk()

    if stopped:
        with anyio.CancelScope() as scope:
            async with replacing(disk, NAME, KINDS):
                await disk.hold(others)
                scope.cancel()
                await anyio.sleep_forever()
    else:
        await fail(disk, lambda: True, others)

    assert disk.texts == {NAME: OLD} | others


async def test_an_agent_that_lost_the_lease_writes_nothing_back() -> None:
    disk, held = Disk(), iter([True] * len(KINDS))

    await fail(disk, lambda: next(held, False))

    assert disk.texts == {NAME: OLD}


async def test_an_agent_that_lost_the_lease_takes_nothing_away() -> None:
    disk = Disk()

    async with replacing(disk, NAME, KINDS, lambda: False):
        assert disk.texts == {NAME: OLD, **NOTES}


async def test_a_snapshot_that_cannot_be_read_stays_without_a_manifest() -> None:
    """It is not known whether it is the old one."""

    class Dark(Disk):
        def read(self, name: str) -> AsyncIterator[bytes]:
            if name == NAME:
                raise StorageUnavailable("no answer")
            return super().read(name)

    disk = Dark()

    await fail(disk, lambda: True)

    assert disk.texts == {NAME: OLD}


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_an_agent_that_is_stopped_before_the_upload_leaves_the_manifest(
    *, is_deleted: bool
) -> None:
    """Even if the storage has not answered yet, whether it was carried out or not."""

    class Slow(Disk):
        def __init__(self) -> None:
            super().__init__()
            self.deleting = anyio.Event()

        async def delete(self, name: str) -> None:
            if is_deleted:
                await super().delete(name)
            self.deleting.set()
            await anyio.sleep_forever()

    disk = Slow()

    async def replace() -> None:
        async with replacing(disk, NAME, KINDS):
            pytest.fail("the manifest is still there")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(replace)
        await disk.deleting.wait()
        tasks.cancel_scope.cancel()

    assert disk.texts == {NAME: OLD, **NOTES}
