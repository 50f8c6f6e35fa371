"""What a storage is: `put`, `entries`, `read`, `delete`, and `sweep` for what killed runs left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.threads import beside_loop


class UploadSource(Protocol):
    """A snapshot in a local file that may still be growing.

    Its end is only reached once the snapshot was verified; until then a follower waits.
    """

    def link(self, target: Path) -> bool:
        """Give the growing file a second name; false where the file system cannot."""

    def follow(self, position: int) -> int:
        """Wait until the file is longer than `position` bytes; block the calling thread.

        Returns:
            The length that may be read now, or `position` itself at the verified end.

        Raises:
            AgentError: The snapshot failed; nothing of it may be kept.
        """

    def read(self, position: int, size: int) -> bytes:
        """Read at most `size` bytes from `position`, waiting like `follow`; empty at the end."""


class Entry(NamedTuple):
    """One object under a storage's prefix; a tuple, for there may be very many."""

    name: str
    """Relative to the prefix."""
    size: int


class Storage(Protocol):
    """A place that keeps snapshots under a prefix of its own.

    Names are plain file names: no slashes. Every verb raises `StorageError` and nothing else
    for what the place did wrong, `StorageUnavailable` where another try may help.
    """

    @property
    def kind(self) -> str:
        """The word for it in the log: `local`, `aws`, ..."""

    def location(self, name: str) -> str:
        """Say where `name` lies, as an operator would write it; no credentials in it."""

    async def put(self, name: str, source: UploadSource) -> int:
        """Store a snapshot, following it while it grows, and replace what had that name.

        It appears under `name` only when it is complete and durable. When the source or the
        storage fails nothing of it stays. Manifests are stored by the same verb.

        Returns:
            Bytes stored, as the storage itself reports where reading back is allowed.
        """

    async def entries(self) -> list[Entry]:
        """List what lies directly under the prefix, ours or not, in any order."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Stream an object.

        Raises:
            SnapshotNotFound: There is none of that name.
        """

    async def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""

    async def sweep(self, leftovers: Leftovers) -> int:
        """Remove what crashed runs left half-written.

        Arguments:
            leftovers: Tells which names are ours, and which of them are of dead runs.

        Returns:
            How many leftovers were removed.
        """


async def sizes_of(storage: Storage) -> dict[str, int]:
    """List what lies in a storage, in bytes by name."""
    entries = await storage.entries()

    def sizes() -> dict[str, int]:
        return dict(entries)

    return await beside_loop(sizes, len(entries))


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A source that is in memory already: a manifest."""

    content: bytes

    def link(self, _target: Path) -> bool:
        return False

    def follow(self, _position: int) -> int:
        return len(self.content)

    def read(self, position: int, size: int) -> bytes:
        return self.content[position : position + size]
