"""Checks that a storage lists a stored object under its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from raft_snapshot_agent.storage.base import Storage, sizes_of

_PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each listing, because listings of some stores lag behind."""
_WITHIN = 10.0
"""Seconds for all listings together."""


@dataclass(frozen=True, slots=True)
class Look:
    """Result of the check."""

    warning: str = ""
    """Warning if the listing does not show the object; else empty."""
    sizes: Mapping[str, int] | None = None
    """The listing, so that it need not be requested again."""


async def look_for(
    storage: Storage, name: str, size: int, pauses: Sequence[float] = _PAUSES
) -> Look:
    """Check that the listing shows a stored object.

    A failed or forbidden listing gives no warning here; code that needs the listing reports it.

    Arguments:
        storage: The storage.
        name: Name of the snapshot.
        size: Size in bytes, as the storage reported.
        pauses: Seconds before each listing.
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
