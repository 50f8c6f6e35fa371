"""Positions of keys in the configuration, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Keys of mappings and indices of lists, from the top of a document."""
KeyPosition = Callable[[KeyPath], str]
"""Returns the position of a key: `FILE:LINE:COLUMN: key`."""
Origin = Callable[[KeyPath], KeyPath]
"""Returns the path in the document of a key that is validated under another path."""
DEEPEST = 100
"""Most lists and mappings within each other; no setting needs more than a few."""
_KEY = re.compile(r"[\w./-]{1,64}")
PUT_IN_QUOTES = "put it in quotes if it is a value, such as a password"
"""Hint where a value without quotes was perhaps read as a key."""

SPACE_AFTER_COLON = "write a space after the colon"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A position in a text; lines and columns count from one."""

    line: int
    column: int


def format_path(path: KeyPath) -> str:
    """Write `storages[1].path`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{_shorten_key(key)}" for key in path)
    return "".join(parts).removeprefix(".")


def _shorten_key(key: str) -> str:
    """Cut it at a character that no key has: `password:secret` without a space is a key in YAML."""
    found = _KEY.match(key)
    usual = found[0] if found else ""
    return key if usual == key else f"{usual}..."
