"""Formats lists of names for display."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 3
"""Maximum names in a line."""


def enumerate_names(names: Sequence[str], shown: int = _SHOWN) -> str:
    """Return the first names, and how many more there are: `a, b, c and 4 more`."""
    more = len(names) - shown
    first = ", ".join(names[:shown])
    return f"{first} and {more} more" if more > 0 else first
