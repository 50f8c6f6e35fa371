"""Read the manifests and notes of a storage, and take away those of a replaced snapshot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import cast

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import Storage

_SMALL = 1 << 20
"""Maximum bytes of a note or a manifest; valid ones have a few hundred."""


async def read_small(storage: Storage, name: str) -> bytes:
    """Read a note or a manifest; cut off one that is too large to be valid.

    Raises:
        SnapshotNotFound: It does not exist.
        StorageError: It cannot be read.
    """
    content = b""
    async with aclosing(cast("AsyncGenerator[bytes]", storage.read(name))) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > _SMALL:
                break
    return content[:_SMALL]


async def read_if_any(storage: Storage, name: str) -> bytes | None:
    """Read a note or a manifest; `None` if it does not exist.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return await read_small(storage, name)
    except SnapshotNotFound:
        return None


async def read_manifest(storage: Storage, name: str) -> Manifest | None:
    """Read the manifest of a snapshot; `None` if it is missing or damaged.

    Raises:
        StorageError: It cannot be read.
    """
    with suppress(ValueError):
        text = await read_if_any(storage, manifest_name(name))
        return None if text is None else Manifest.from_json(text)
    return None


async def take_away(storage: Storage, name: str, kinds: Iterable[Sidecar]) -> dict[str, bytes]:
    """Delete what lies beside a snapshot, as far as the credentials allow it.

    Returns:
        The content of what could be read, by name.
    """
    taken: dict[str, bytes] = {}
    for kind in kinds:
        note = kind.name_for(name)
        with suppress(StorageError):  # such as of credentials that may only write
            if (content := await read_if_any(storage, note)) is None:
                continue
            taken[note] = content
        with suppress(StorageError):
            await storage.delete(note)
    return taken
