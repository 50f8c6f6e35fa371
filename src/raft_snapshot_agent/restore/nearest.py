"""Find names similar to a missing one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_LOOKED_AT = 300
"""Number of newest names to compare, as comparing takes time."""
_NEAREST = 3


def describe_nearest(name: str, names: Collection[str]) -> str:
    """Describe the names most similar to a missing one; empty if there are none."""
    near = difflib.get_close_matches(name, sorted(names, reverse=True)[:_LOOKED_AT], _NEAREST, 0.5)
    return f"nearest: {', '.join(near)}; " if near else ""
