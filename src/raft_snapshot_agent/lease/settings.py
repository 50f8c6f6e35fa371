"""The settings that every kind of lease has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from raft_snapshot_agent.core.lease import LeaseStore, StoredLeaseStore
from raft_snapshot_agent.fields import PositiveDuration, Settings

_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(hours=1)
USUAL_NAME = "raft-snapshot-lease"


class StorageRef(Protocol):
    """What may keep a record."""

    @property
    def name(self) -> str | None: ...

    def lease_store(self, name: str) -> StoredLeaseStore:
        """Keep a record of that name.

        Raises:
            ConfigError: It cannot.
        """


def _check_duration(duration: timedelta) -> timedelta:
    if not _SHORTEST <= duration <= _LONGEST:
        raise ValueError("must be between 2s and 1h")
    return duration


class LeaseSettings(Settings):
    """A record says which of several agents works."""

    type: str
    """Where the record lies; each class has one name for it."""
    duration: Annotated[PositiveDuration, AfterValidator(_check_duration)] = timedelta(seconds=15)
    """For how long after its last renewal an agent that is gone keeps the others from working."""
    max_failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Runs that fail in a row before the agent gives the lease away to one that may do better."""

    name: str = USUAL_NAME
    """Of the record."""

    @property
    def kept_in(self) -> str | None:
        """The name of the storage that keeps the record; none: something else does."""
        return None

    @property
    def identity(self) -> object:
        """What only settings of the same record have in common; none: the storage tells."""
        return None

    @property
    @abstractmethod
    def key(self) -> str:
        """The key that says where the record lies."""

    @abstractmethod
    def lease_store(self, storages: Iterable[StorageRef]) -> LeaseStore:
        """Find what keeps the record; nothing is contacted.

        Arguments:
            storages: All that are configured.

        Raises:
            ConfigError: It cannot.
        """

    async def prove(self, storages: Iterable[StorageRef]) -> None:
        """Prove that what keeps the record can; nothing to prove where it is known to.

        Arguments:
            storages: All that are configured.

        Raises:
            UnreliableStore: It cannot.
            StorageError: The proof could not be finished.
        """

    def check(self) -> None:
        """Make sure that what this host has to offer is there.

        Raises:
            ConfigError: It is not.
        """
