"""Interface of a storage: `put`, `entries`, `read`, `delete`, and `sweep` for leftovers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import beside_loop


class UploadSource(Protocol):
    """A snapshot in a local file that may still be growing.

    Readers reach its end only after the snapshot is verified; until then they wait.
    """

    def link(self, target: Path) -> bool:
        """Create a hard link to the growing file, for one storage at most; return false if the
        file system cannot, or if another storage has it.
        """

    def follow(self, position: int) -> int:
        """Block the thread until the file is longer than `position` bytes.

        Returns:
            The length that can be read now, or `position` at the verified end.

        Raises:
            AgentError: The snapshot failed; nothing of it may be stored.
        """

    def read(self, position: int, size: int) -> bytes:
        """Read at most `size` bytes from `position`, waiting like `follow`; empty at the end."""


class Entry(NamedTuple):
    """One object under a storage's prefix; a tuple, because there may be very many."""

    name: str
    """Name relative to the prefix."""
    size: int


class Storage(Protocol):
    """Keeps snapshots under a prefix.

    Names are plain file names, without slashes. For a failure of the storage every method raises
    only `StorageError`, or its subclass `StorageUnavailable` if a retry may help.
    """

    @property
    def kind(self) -> str:
        """The type in log messages and the status: `local`, `aws`, ..."""

    def location(self, name: str) -> str:
        """Return the address of an object as an operator would write it, without credentials."""

    async def put(self, name: str, source: UploadSource) -> int:
        """Store a snapshot while it grows; replace an object of the same name.

        It is visible under `name` only when it is complete and durable. If the source or the
        storage fails, nothing of it is left. Manifests are stored by the same method.

        Returns:
            Bytes stored, as reported by the storage if reading back is allowed.
        """

    async def entries(self) -> list[Entry]:
        """List all objects directly under the prefix, in any order."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Stream an object.

        Raises:
            SnapshotNotFound: No object has that name.
        """

    async def delete(self, name: str) -> None:
        """Delete an object; a missing one is not an error."""

    async def sweep(self, leftovers: Leftovers) -> int:
        """Remove incomplete objects that crashed runs left.

        Arguments:
            leftovers: Decides which names are ours, and which belong to dead runs.

        Returns:
            How many leftovers were removed.
        """


async def sizes_of(storage: Storage) -> dict[str, int]:
    """Return the size in bytes of each object in a storage, by name."""
    entries = await storage.entries()

    def sizes() -> dict[str, int]:
        return dict(entries)

    return await beside_loop(sizes, len(entries))


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A source in memory, such as a manifest."""

    content: bytes

    def link(self, _target: Path) -> bool:
        return False

    def follow(self, _position: int) -> int:
        return len(self.content)

    def read(self, position: int, size: int) -> bytes:
        return self.content[position : position + size]
