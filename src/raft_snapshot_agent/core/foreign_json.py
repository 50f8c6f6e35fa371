"""JSON that others wrote: its depth is known before anything is made of it."""

from __future__ import annotations

import json
import re
from typing import Any

_DEEPEST = 64
"""Lists and objects in one another; a server's answers have a dozen."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_ALIKE = str.maketrans("{}", "[]")


def read_json(text: bytes | str) -> Any:
    """Read a document in UTF-8.

    A parser calls itself for each level: how deep it gets before it fails depends on who called it,
    and on the version of the interpreter.

    Raises:
        ValueError: It is none, is nested more than 64 levels deep, or holds numbers that JSON
            does not have.
    """
    if isinstance(text, bytes):
        text = text.decode()
    text = text.removeprefix("\ufeff")
    if _is_deep(text):
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep, or a bracket is missing")
    return json.loads(text, parse_constant=_refuse)


def _is_deep(text: str) -> bool:
    """Return whether brackets are left when the innermost pairs were taken away so many times."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    # Which brackets fit is the parser's to say.
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text)).translate(_ALIKE)
    for _ in range(_DEEPEST):
        if not brackets:
            break
        brackets = brackets.replace("[]", "")
    return bool(brackets)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
