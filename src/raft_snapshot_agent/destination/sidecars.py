"""Read the manifests and notes of a storage, and keep those of one snapshot from another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import cast

from anyio import CancelScope, fail_after, move_on_after

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage, sizes_of

_SMALL = 1 << 20
"""Maximum bytes of a note or a manifest; valid ones have a few hundred."""
_PUT_BACK_WITHIN = 10.0
"""Seconds for the manifest and notes of the old snapshot when the agent is stopped."""
_LOOK_WITHIN = 30.0
"""Maximum seconds to list a storage."""


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


@asynccontextmanager
async def replacing(storage: Storage, name: str, kinds: Iterable[Sidecar]) -> AsyncGenerator[None]:
    """Take away what lies beside a snapshot while it is replaced; put it back if that fails.

    Arguments:
        storage: The storage.
        name: The name that the new snapshot gets.
        kinds: What describes the old one, and not the new one.
    """
    taken = await _take_away(storage, name, kinds)
    try:
        yield
    except Exception:
        await _put_back(storage, name, taken)
        raise
    except BaseException:  # the agent is stopped, or the upload took too long
        with CancelScope(shield=True), move_on_after(_PUT_BACK_WITHIN):
            await _put_back(storage, name, taken)
        raise


async def _take_away(storage: Storage, name: str, kinds: Iterable[Sidecar]) -> dict[str, bytes]:
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


async def _put_back(storage: Storage, name: str, taken: Mapping[str, bytes]) -> None:
    """Store manifest and notes of a snapshot again that was not replaced: the guard needs them."""
    manifest = taken.get(manifest_name(name))
    if manifest is None or not await _is_still_there(storage, name, manifest):
        return
    for note, content in taken.items():
        with suppress(StorageError):
            await storage.put(note, BytesSource(content))


async def _is_still_there(storage: Storage, name: str, manifest: bytes) -> bool:
    """Return whether a storage lists the snapshot that a manifest describes, as far as it can."""
    with suppress(Exception):  # the failure that led here is the one to tell
        with fail_after(_LOOK_WITHIN):
            sizes = await sizes_of(storage)
        return sizes.get(name) == Manifest.from_json(manifest).size
    return False
