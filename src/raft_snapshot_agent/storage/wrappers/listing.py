"""Whether a storage lists what it took, under the name that will later be looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from raft_snapshot_agent.storage.base import Storage, sizes_of

_PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each look: lists of some stores lag behind."""
_WITHIN = 10.0
"""Seconds that all looks may take."""


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking for what was stored."""

    warning: str = ""
    """That the list does not show it."""
    sizes: Mapping[str, int] | None = None
    """The list that does: nobody has to ask for it once more."""


async def look_for(
    storage: Storage, name: str, size: int, pauses: Sequence[float] = _PAUSES
) -> Look:
    """Look whether the list shows what was stored.

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
                sizes = await sizes_of(storage)
                if (found := sizes.get(name)) == size:
                    return Look(sizes=sizes)
    except Exception:  # noqa: BLE001 - the snapshot is safe, whatever happens here
        return Look()
    shown = "does not show it" if found is None else f"shows it with {found} bytes, not {size}"
    return Look(
        f"{storage.location(name)} is stored, but the storage's own list {shown}: likely endpoint,"
        " bucket or path are not what they should be, or its lists are old"
    )
