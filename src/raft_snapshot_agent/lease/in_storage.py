"""A lease whose record is kept in one of the storages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from raft_snapshot_agent.core.leases.lease import StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.lease.proof import prove
from raft_snapshot_agent.lease.settings import USUAL_NAME, LeaseSettings, StorageRef


def _plain(name: Any) -> Any:
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise ValueError("must be a plain file name: no slashes, no dot in front")
    return name


class StorageLease(LeaseSettings):
    """The lease record is kept in one of the storages."""

    type: Literal["storage"]
    storage: str
    """Name of the storage that keeps the record; all agents must use the same one."""
    name: Annotated[str, AfterValidator(_plain)] = USUAL_NAME
    """File name of the record, below the storage's prefix."""

    @property
    def storage_name(self) -> str:
        return self.storage

    @property
    def key(self) -> str:
        return "storage"

    def lease_store(self, storages: Iterable[StorageRef]) -> StoredLeaseStore:
        for one in storages:
            if one.name == self.storage:
                return one.lease_store(self.name)
        raise ConfigError(f"no storage is called {self.storage!r}", hint="see lease.storage")

    async def prove(self, storages: Iterable[StorageRef]) -> None:
        await prove(self.lease_store(storages), self.storage)
