"""The settings common to all storages."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ByteSize, Field, PositiveInt

from raft_snapshot_agent.core.snapshots.naming import LONGEST_NAME
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import (
    LARGEST,
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
    from raft_snapshot_agent.core.leases.lease import StoredLeaseStore


def _folder(prefix: str) -> str:
    parts = [part for part in prefix.split("/") if part]
    if any(part in {".", ".."} for part in parts):
        raise ValueError("must not contain . or .. as a folder")
    return _name("".join(f"{part}/" for part in parts))


def _file_name(name: str) -> str:
    if not name or "/" in name or name.startswith("."):
        raise ValueError("must be a plain file name: no slashes, no dot in front; use prefix")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"must have at most {LONGEST_NAME} bytes")
    return _name(name)


def _name(text: str) -> str:
    if "\\" in text:  # some stores turn it into a slash, and lose sight of what they stored
        raise ValueError("must not contain a backslash: between folders is a slash")
    return _printable(text)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


Folder = Annotated[str, AfterValidator(_folder), MAY_BE_EMPTY]
FileName = Annotated[str, AfterValidator(_file_name)]


@dataclass(frozen=True, slots=True)
class StorageAddress:
    """Where a storage stores its snapshots, with what the configuration leaves out filled in."""

    server: str
    """URL, in any of its spellings; empty for this host."""
    bucket: tuple[str, ...]
    """Project, bucket, and whatever else distinguishes the contents of the server."""
    folder: str
    """Folder, including the prefix."""


class StorageSettings(Settings):
    """Settings of one storage: name, prefix, retention, limits."""

    type: str
    """Type of the storage; each class has its own value."""
    name: Annotated[str, AfterValidator(_printable)] | None = None
    """Name in the log and on the command line; by default derived from the type."""
    prefix: Folder = ""
    """Folder of this cluster's snapshots: empty, or with exactly one slash at the end."""
    retention: RetentionPolicy | None = None
    static_name: FileName | None = None
    """Fixed name of all snapshots: each replaces the previous one; nothing is pruned."""

    schedule: ScheduleSettings | None = None
    """Schedule of this storage; by default the common schedule."""
    timeout: Timeout = timedelta(seconds=60)
    """How long the storage may be silent; not a limit for a whole snapshot."""
    required: bool = True
    """Whether a failure of this storage is a failure of the run."""
    prune: bool = True
    """Whether the agent deletes old snapshots; false for credentials that may only write."""
    bandwidth: Speed | None = None
    """Most bytes per second that are sent to it."""

    max_objects: Annotated[PositiveInt, Field(le=LARGEST)] = MOST_OBJECTS
    """Longest accepted listing; a longer one hardly belongs to one cluster."""
    min_rate: Speed = ByteSize(32 << 10)
    """Least average bytes per second of an upload or a download."""

    @abstractmethod
    def open(self) -> Storage:
        """Return the storage; no I/O."""

    @abstractmethod
    def locate(self) -> StorageAddress:
        """Return where the snapshots are stored once it is opened; no connection.

        It is the same for all ways to name one place, as far as this host can tell.

        Raises:
            ConfigError: The address is incomplete or invalid, as `check` reports, too.
        """

    def lease_store(self, name: str) -> StoredLeaseStore:  # noqa: ARG002 - most cannot
        """Return a store for a lease record beside the snapshots; no I/O.

        Arguments:
            name: Name of the record, without its file extension.

        Raises:
            ConfigError: This storage has no conditional writes.
        """
        raise ConfigError(
            f"{self.name} cannot keep a lease",
            hint="use a storage of type azure, gcs, local or s3; it may hold nothing else",
        )

    def check(self) -> None:
        """Check before the first snapshot that this host has what is needed; change nothing.

        Raises:
            ConfigError: Something is missing or invalid.
        """

    def prepare(self, made: set[Path] | None = None) -> None:
        """Create what the first snapshot needs on this host, such as a folder.

        Arguments:
            made: Folders that were there before; those of this storage are added. Where one of
                its own is missing now, its disk is unmounted, and nothing is created in its place.

        Raises:
            ConfigError: It cannot be created.
        """
