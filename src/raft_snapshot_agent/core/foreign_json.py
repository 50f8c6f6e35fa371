"""Parses untrusted JSON, after a check of its depth, and writes it with the same digits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Self

_DEEPEST = 64
"""Most nested lists and objects; a server's answers have a dozen."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_ALIKE = str.maketrans("{}", "[]")


class Number(float):
    """A number with a fraction or an exponent, and the text it was read from."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        self = super().__new__(cls, text)
        self.text = text
        return self


def read_json(text: bytes | str, *, parse_float: Callable[[str], float] = float) -> Any:
    """Parse a JSON document in UTF-8.

    The depth is checked first, because at which depth the recursive parser fails depends on the
    caller and the version of the interpreter.

    Arguments:
        text: The document.
        parse_float: Parses numbers with a fraction or an exponent; `Number` keeps all their digits,
            as servers do.

    Raises:
        ValueError: It is not JSON, is nested more than 64 levels deep, or contains numbers that
            JSON does not have.
    """
    if isinstance(text, bytes):
        text = text.decode()
    text = text.removeprefix("\ufeff")
    if _is_deep(text):
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep, or a bracket is missing")
    return json.loads(text, parse_float=parse_float, parse_constant=_refuse)


def write_json(document: Any, *, indented: bool = False) -> str:
    """Return a document as JSON, in which each `Number` has the digits that were read."""
    return _write(document, "\n" if indented else "")


def _write(document: Any, line: str) -> str:
    """Return a part of a document; `line` begins a line as deep as that part, if lines are used."""
    inner = f"{line}  " if line else ""
    if isinstance(document, Number):
        return document.text
    if isinstance(document, dict):
        each = [f"{json.dumps(str(name))}: {_write(one, inner)}" for name, one in document.items()]
        left, right = "{}"
    elif isinstance(document, list | tuple):
        each = [_write(one, inner) for one in document]
        left, right = "[]"
    else:
        return json.dumps(document)
    if not each:
        return left + right
    return left + inner + f",{inner or ' '}".join(each) + line + right


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
