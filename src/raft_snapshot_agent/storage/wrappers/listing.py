"""Whether a storage lists what it took, under the name that will later be looked for."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from raft_snapshot_agent.storage.base import Storage

_PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each look: lists of some stores lag behind."""
_WITHIN = 10.0
"""Seconds that all looks may take."""


async def missing_from_list(
    storage: Storage, name: str, size: int, pauses: Sequence[float] = _PAUSES
) -> str:
    """Return a warning where the list does not show what was stored; empty where it does.

    Nothing is said where listing is not allowed or fails: that is told by who needs the list.

    Arguments:
        storage: Where it was stored.
        name: Of the snapshot.
        size: In bytes, as the storage told.
        pauses: Seconds before each look.
    """
    found: int | None = None
    try:
        with anyio.fail_after(_WITHIN):
            for pause in pauses:
                await anyio.sleep(pause)
                sizes = {entry.name: entry.size for entry in await storage.entries()}
                if (found := sizes.get(name)) == size:
                    return ""
    except Exception:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        return ""
    shown = "does not show it" if found is None else f"shows it with {found} bytes, not {size}"
    return (
        f"{storage.location(name)} is stored, but the storage's own list {shown}: likely endpoint,"
        " bucket or path are not what they should be, or its lists are old"
    )
