"""Parses untrusted JSON, after a check of its depth."""

from __future__ import annotations

import json
import re
from typing import Any

_DEEPEST = 64
"""Most nested lists and objects; a server's answers have a dozen."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_ALIKE = str.maketrans("{}", "[]")


def read_json(text: bytes | str) -> Any:
    """Parse a JSON document in UTF-8.

    The depth is checked first, because at which depth the recursive parser fails depends on the
    caller and the version of the interpreter.

    Raises:
        ValueError: It is not JSON, is nested more than 64 levels deep, or contains numbers that
            JSON does not have.
    """
    if isinstance(text, bytes):
        text = text.decode()
    text = text.removeprefix("\ufeff")
    if _is_deep(text):
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep, or a bracket is missing")
    return json.loads(text, parse_constant=_refuse)


def _is_deep(text: str) -> bool:
    """Return whether brackets remain after removing the innermost pairs `_DEEPEST` times."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    # The parser itself checks that brackets match.
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text)).translate(_ALIKE)
    for _ in range(_DEEPEST):
        if not brackets:
            break
        brackets = brackets.replace("[]", "")
    return bool(brackets)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
