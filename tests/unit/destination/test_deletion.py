"""What is left of a snapshot that a storage does not delete."""

from __future__ import annotations

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.destination.test_destination import HOUR, NOW, hold, named

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.sidecars import read_if_any
from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable


class Refusing(MemoryStorage):
    """A storage that fails when one object is deleted, or read."""

    def __init__(self, name: str, error: StorageError) -> None:
        super().__init__()
        self.name = name
        self.error: StorageError | None = error

    async def delete(self, name: str) -> None:
        if name == self.name and self.error is not None:
            raise self.error
        await super().delete(name)


async def keep_two(storage: MemoryStorage) -> Destination:
    destination = Destination("s3", storage, retention=Retention(last=2))
    for hours in range(3):
        await hold(destination, named(hours, 9 - hours), hours, 9 - hours)
    return destination


@pytest.mark.parametrize("error", [StorageDenied("it is held"), StorageError("409: immutable")])
@pytest.mark.parametrize("broken", [True, False])
async def test_what_a_storage_refuses_to_delete_keeps_its_manifest(
    error: StorageError, *, broken: bool
) -> None:
    old = named(2, 7)
    storage = Refusing(old, error)
    destination = await keep_two(storage)
    if broken:
        await destination.mark(old, Sidecar.BROKEN, '{"since": "2026-01-01T00:00:00Z"}')
    before = await read_if_any(storage, manifest_name(old))
    assert before

    done = await destination.prune(NOW, broken=broken)

    assert (done.deleted, len(done.warnings)) == ((), 1)
    assert done.undeleted == {done.warnings[0]: 1}, "the command ends with an error"
    assert (await destination.prune(NOW + HOUR, broken=broken)).undeleted == done.undeleted
    assert await read_if_any(storage, manifest_name(old)) == before
    storage.error = None
    later = await destination.prune(NOW + 25 * HOUR, broken=broken)
    assert later.deleted == (old,)
    assert not [one for one in await storage.entries() if one.name.startswith(old)]


async def test_what_may_be_deleted_gets_no_manifest_again() -> None:
    """The manifest alone would be reported as that of a missing snapshot."""
    old = named(2, 7)
    storage = Refusing(old, StorageUnavailable("no answer"))
    destination = await keep_two(storage)

    await destination.prune(NOW)

    assert await read_if_any(storage, manifest_name(old)) is None
