"""The settings common to all lease types."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from raft_snapshot_agent.core.leases.lease import LeaseStore, StoredLeaseStore
from raft_snapshot_agent.fields import PositiveDuration, Settings

_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(hours=1)
USUAL_NAME = "raft-snapshot-lease"


class StorageRef(Protocol):
    """A configured storage that may keep the lease record."""

    @property
    def name(self) -> str | None: ...

    def lease_store(self, name: str) -> StoredLeaseStore:
        """Return a lease store for a record of that name.

        Raises:
            ConfigError: No record can be kept there.
        """


def _check_duration(duration: timedelta) -> timedelta:
    if not _SHORTEST <= duration <= _LONGEST:
        raise ValueError("must be between 2s and 1h")
    return duration


class LeaseSettings(Settings):
    """Settings of the lease, which lets one of several agents take snapshots."""

    type: str
    """Where the record is kept; each class has its own value."""
    duration: Annotated[PositiveDuration, AfterValidator(_check_duration)] = timedelta(seconds=15)
    """How long after its last renewal the lease of a stopped agent blocks the others."""
    max_failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Consecutive failed runs before the agent releases the lease to another agent."""

    name: str = USUAL_NAME
    """Name of the record."""

    @property
    def storage_name(self) -> str | None:
        """Name of the storage that keeps the record; `None` if it is not in a storage."""
        return None

    @property
    def identity(self) -> object:
        """Value equal only for settings of the same record; `None` if the storage decides."""
        return None

    @property
    @abstractmethod
    def key(self) -> str:
        """The configuration key that names where the record is kept."""

    @abstractmethod
    def lease_store(self, storages: Iterable[StorageRef]) -> LeaseStore:
        """Return the store of the record; no I/O.

        Arguments:
            storages: All configured storages.

        Raises:
            ConfigError: No record can be kept there.
        """

    async def prove(self, storages: Iterable[StorageRef]) -> None:
        """Prove that the store can keep a lease; does nothing for a type known to.

        Arguments:
            storages: All configured storages.

        Raises:
            UnreliableStore: The store cannot keep a lease.
            StorageError: The proof could not be finished.
        """

    def check(self) -> None:
        """Check that this host has what the lease needs, such as credentials.

        Raises:
            ConfigError: Something is missing.
        """
