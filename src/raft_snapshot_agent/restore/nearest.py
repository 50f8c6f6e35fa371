"""Which names are most like one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_LOOKED_AT = 300
"""Of the newest names: comparing takes time."""
_NEAREST = 3


def describe_nearest(name: str, names: Collection[str]) -> str:
    """Name those that are most like a name that is not there; empty: none is."""
    near = difflib.get_close_matches(name, sorted(names, reverse=True)[:_LOOKED_AT], _NEAREST, 0.5)
    return f"nearest: {', '.join(near)}; " if near else ""
