"""The settings that every storage has."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ByteSize, PositiveInt

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import (
    MAY_BE_EMPTY,
    RetentionPolicy,
    ScheduleSettings,
    Settings,
    Speed,
    Timeout,
)
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.limits import MOST_OBJECTS

if TYPE_CHECKING:  # of which there is none unless a lease is kept there
    from raft_snapshot_agent.core.lease import StoredLeaseStore


def _folder(prefix: str) -> str:
    parts = [part for part in prefix.split("/") if part]
    if any(part in {".", ".."} for part in parts):
        raise ValueError("must not contain . or .. as a folder")
    return _printable("".join(f"{part}/" for part in parts))


def _file_name(name: str) -> str:
    if not name or "/" in name or name.startswith("."):
        raise ValueError("must be a plain file name: no slashes, no dot in front; use prefix")
    return _printable(name)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


Folder = Annotated[str, AfterValidator(_folder), MAY_BE_EMPTY]
FileName = Annotated[str, AfterValidator(_file_name)]


class StorageSettings(Settings):
    """One storage: what it is called, where in it the snapshots lie and how many are kept."""

    type: str
    """Which storage it is; each class has one name for it."""
    name: Annotated[str, AfterValidator(_printable)] | None = None
    """Its name in the log and on the command line; derived from the type when missing."""
    prefix: Folder = ""
    """The folder of this cluster's snapshots: empty, or with exactly one slash at its end."""
    retention: RetentionPolicy | None = None
    static_name: FileName | None = None
    """The one name every snapshot gets here: each replaces the one before; nothing is pruned."""

    schedule: ScheduleSettings | None = None
    """When this storage takes a snapshot; the common schedule when missing."""
    timeout: Timeout = timedelta(seconds=60)
    """How long the storage may go without an answer; not how long a snapshot may take."""
    required: bool = True
    """Whether a failure here is one of the run: in its exit code and in the log."""
    prune: bool = True
    """False for credentials that may only write: the storage sees to old snapshots itself."""
    bandwidth: Speed | None = None
    """The most it is sent in a second."""

    max_objects: PositiveInt = MOST_OBJECTS
    """The longest list that is taken; a storage that lists more is hardly this cluster's alone."""
    min_rate: Speed = ByteSize(32 << 10)
    """Bytes a second that it takes at least, all in all, and sends when it is read."""

    @abstractmethod
    def open(self) -> Storage:
        """Make the storage, without any I/O yet."""

    def lease_store(self, name: str) -> StoredLeaseStore:  # noqa: ARG002 - most cannot
        """Keep a lease's record beside the snapshots, without any I/O yet.

        Arguments:
            name: What the record is called, without the ending that says how it is written.

        Raises:
            ConfigError: It does not write only where nobody wrote meanwhile.
        """
        raise ConfigError(
            f"{self.name} cannot keep a lease",
            hint="take a storage of type azure, gcs, local or s3; it may hold nothing else",
        )

    def check(self) -> None:
        """Check, before the first snapshot, what this host has to offer; nothing is changed.

        Raises:
            ConfigError: It is not.
        """

    def prepare(self) -> None:
        """Make what the first snapshot needs on this host and can be made.

        Raises:
            ConfigError: It cannot.
        """
