"""How the configuration asks for a lease."""

from __future__ import annotations

import os
import re
import secrets
import socket
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field

from raft_snapshot_agent.core.lease import LeaseStore, StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import PositiveDuration, Settings, require_extra
from raft_snapshot_agent.lease.candidacy import Candidacy, granted
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.lease.proof import prove
from raft_snapshot_agent.lease.timeout import Timely
from raft_snapshot_agent.registry import Registry

_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(hours=1)
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
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


def _plain(name: Any) -> Any:
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise ValueError("must be a plain file name: no slashes, no dot in front")
    return name


def _subdomain(name: str) -> str:
    if not _SUBDOMAIN.fullmatch(name):
        raise ValueError("must be a name as Kubernetes has them: small letters, digits, - and .")
    return name


class LeaseSettings(Settings):
    """A record says which of several agents works."""

    type: str
    """Where the record lies; each class has one name for it."""
    duration: Annotated[PositiveDuration, AfterValidator(_check_duration)] = timedelta(seconds=15)
    """For how long after its last renewal an agent that is gone keeps the others from working."""
    max_failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Runs that fail in a row before the agent gives the lease away to one that may do better."""

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

    def open(
        self, storages: Sequence[StorageRef], qualify: Callable[[], Awaitable[None]] = granted
    ) -> Lease:
        """Make this agent's view of the lease; nothing is contacted.

        Arguments:
            storages: All that are configured.
            qualify: Raises why this agent could take no snapshot now.

        Raises:
            ConfigError: Nothing can keep its record.
        """
        return Lease(
            Timely(self.lease_store(storages), self.duration.total_seconds() / 4),
            _holder(),
            self.duration,
            candidacy=Candidacy(
                prove=partial(self.prove, storages),
                qualify=qualify,
                max_failures=self.max_failures,
            ),
            storages=[one.name for one in storages if one.name is not None],
        )


class StorageLease(LeaseSettings):
    """The record lies in one of the storages."""

    type: Literal["storage"]
    storage: str
    """The name of the storage that keeps the record; all agents must reach the same one."""
    name: Annotated[str, AfterValidator(_plain)] = USUAL_NAME
    """Of the record, below the storage's prefix."""

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


class KubernetesLease(LeaseSettings):
    """The record is a Lease of Kubernetes."""

    type: Literal["kubernetes"]
    namespace: Annotated[str, AfterValidator(_subdomain)] | None = None
    """Where it lies; the pod's own, or that of the kubeconfig's context."""
    name: Annotated[str, AfterValidator(_subdomain)] = USUAL_NAME
    """Of the Lease."""

    @property
    def key(self) -> str:
        return "type"

    def lease_store(self, storages: Iterable[StorageRef]) -> LeaseStore:  # noqa: ARG002 - it needs none
        require_extra("lightkube", self.type)
        from raft_snapshot_agent.lease.kubernetes_store import KubernetesLeaseStore

        return KubernetesLeaseStore(self.name, self.namespace)

    def check(self) -> None:
        from raft_snapshot_agent.lease.kubernetes_store import configuration

        configuration()


async def holder(settings: LeaseSettings, storages: Sequence[StorageRef]) -> str:
    """Read the record and say who holds the lease; nothing is written.

    Raises:
        ConfigError: This host lacks what it takes.
        StorageError: The record cannot be read.
    """
    settings.check()
    lease_store = Timely(settings.lease_store(storages), settings.duration.total_seconds())
    try:
        found = await lease_store.read()
    finally:
        await lease_store.close()
    who = "no agent" if found is None or found.record.free else found.record.holder
    return f"{who} holds the lease in {lease_store.location}"


LEASES = Registry(
    "type",
    __package__,
    {"storage": "settings:StorageLease", "kubernetes": "settings:KubernetesLease"},
)
AnyLease = Annotated[LeaseSettings, LEASES]


def _holder() -> str:
    """Name this agent so that people know it, and unlike it was called before a restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
