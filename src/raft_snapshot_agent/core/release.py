"""Compares release versions of servers."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?")


def parse_release(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a version such as `1.16.2+ent`; `None` if it has none."""
    found = _NUMBERS.match(version)
    return tuple(int(number or 0) for number in found.groups()) if found else None


def is_older(version: str, than: str) -> bool:
    """Return whether a version is certainly older than another; false for unknown ones."""
    ours, theirs = parse_release(version), parse_release(than)
    return ours is not None and theirs is not None and ours < theirs
