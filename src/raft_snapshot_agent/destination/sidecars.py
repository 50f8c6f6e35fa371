"""Read the manifests and notes of a storage, and keep those of one snapshot from another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from anyio import CancelScope, fail_after, move_on_after

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage, sizes_of

_SMALL = 1 << 20
"""Maximum bytes of a note or a manifest; valid ones have a few hundred."""
_HEAD = 1 << 12
"""Bytes by which two snapshots differ: in the header of the first member is when it was written."""
_PUT_BACK_WITHIN = 10.0
"""Seconds for the manifest and notes of the old snapshot when the agent is stopped."""
_LOOK_WITHIN = 30.0
"""Maximum seconds to look at what lies in a storage."""


@dataclass(frozen=True, slots=True)
class _Old:
    """What a name held before its snapshot is replaced."""

    head: bytes
    """How the snapshot begins; empty if it cannot be read."""
    notes: dict[str, bytes] = field(default_factory=dict)
    """What was taken away beside it, by name."""


async def read_small(storage: Storage, name: str) -> bytes:
    """Read a note or a manifest; cut off one that is too large to be valid.

    Raises:
        SnapshotNotFound: It does not exist.
        StorageError: It cannot be read.
    """
    return await _read_at_most(storage, name, _SMALL)


async def _read_at_most(storage: Storage, name: str, most: int) -> bytes:
    content = b""
    async with aclosing(cast("AsyncGenerator[bytes]", storage.read(name))) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) >= most:
                break
    return content[:most]


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
async def replacing(
    storage: Storage,
    name: str,
    kinds: Iterable[Sidecar],
    may_write: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[None]:
    """Take away what lies beside a snapshot while it is replaced; put it back if that fails.

    It stays away if another snapshot may lie there: one without a manifest is unverified, but
    beside that of another it would be refused.

    Arguments:
        storage: The storage.
        name: The name that the new snapshot gets.
        kinds: What describes the old one, and not the new one.
        may_write: Returns whether this agent, and no other, may change what has this name.
    """
    # Read before the manifest: who replaces a snapshot takes its manifest away first, so the
    # manifest that is read later is of no later snapshot.
    old = _Old(await _read_head(storage, name) if kinds else b"")
    try:
        await _take_away(storage, name, kinds, old, may_write)
        yield
    except Exception:
        await _put_back(storage, name, old, may_write)
        raise
    except BaseException:  # the agent is stopped, or the upload took too long
        with CancelScope(shield=True), move_on_after(_PUT_BACK_WITHIN):
            await _put_back(storage, name, old, may_write)
        raise


async def _take_away(
    storage: Storage,
    name: str,
    kinds: Iterable[Sidecar],
    old: _Old,
    may_write: Callable[[], bool],
) -> None:
    """Delete what lies beside a snapshot, as far as the credentials allow it; note it before."""
    for kind in kinds:
        note = kind.name_for(name)
        with suppress(StorageError):  # such as of credentials that may only write
            if (content := await read_if_any(storage, note)) is None:
                continue
            old.notes[note] = content
        with suppress(StorageError):
            if may_write():
                await storage.delete(note)


async def _put_back(storage: Storage, name: str, old: _Old, may_write: Callable[[], bool]) -> None:
    """Store manifest and notes of a snapshot again that was not replaced: the guard needs them."""
    if not await _is_still_there(storage, name, old):
        return
    for note, content in old.notes.items():
        with suppress(StorageError):
            if may_write():
                await storage.put(note, BytesSource(content))


async def _is_still_there(storage: Storage, name: str, old: _Old) -> bool:
    """Return whether a storage certainly has the old snapshot, and no other manifest beside it."""
    manifest = old.notes.get(manifest_name(name))
    if manifest is None or not old.head:
        return False
    with suppress(Exception):  # the failure that led here is the one to tell
        with fail_after(_LOOK_WITHIN):
            head = await _read_head(storage, name)
            sizes = await sizes_of(storage)
            beside = await read_if_any(storage, manifest_name(name))
        is_same = head == old.head and sizes.get(name) == Manifest.from_json(manifest).size
        return is_same and beside in {None, manifest}  # it may not be deleted yet
    return False


async def _read_head(storage: Storage, name: str) -> bytes:
    """Read how a snapshot begins; empty if that is not known."""
    with suppress(StorageError):
        return await _read_at_most(storage, name, _HEAD)
    return b""
