"""Positions of the keys in a JSON or TOML text, which is valid: it was parsed before."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecoder

from raft_snapshot_agent.config.keys import KeyPath, Mark

_JSON = JSONDecoder()
_MULTILINE = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}', re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'')
_BARE_VALUE = re.compile(r"[^,\]}\n#]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")


class TextError(ValueError):
    """A text is invalid at a position."""

    def __init__(self, what: str, mark: Mark, path: KeyPath = (), *, hint: str = "") -> None:
        super().__init__(what)
        self.mark = mark
        self.path = path
        self.hint = hint


def given_twice(mark: Mark, path: KeyPath) -> TextError:
    """Return the error for a key that a mapping has twice."""
    return TextError("given twice", mark, path, hint="keep one of them")


@dataclass(frozen=True, slots=True)
class _Syntax:
    """The differences between JSON and TOML inside values."""

    space: re.Pattern[str]
    key: Callable[[str, int], tuple[KeyPath, int]]
    """Reads the key at an offset; returns its parts and its end."""
    scalar: Callable[[str, int], int]
    """Returns the end of the scalar at an offset."""


class _Scanner:
    """Reads a valid text and stores the position of every key and item."""

    def __init__(self, text: str, syntax: _Syntax) -> None:
        self.text = text
        self.syntax = syntax
        self.marks: dict[KeyPath, Mark] = {}
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(self, offset: int) -> Mark:
        line = bisect_right(self._lines, offset)
        return Mark(line, offset - self._lines[line - 1] + 1)

    def skip(self, at: int) -> int:
        found = self.syntax.space.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, path: KeyPath) -> int:
        """Mark the keys and items of the value at an offset; return its end."""
        match self.text[at]:
            case "{":
                return self._items(at, "}", lambda start, _: self.pair(start, path))
            case "[":
                return self._items(at, "]", lambda start, index: self._item(start, (*path, index)))
            case _:
                return self.syntax.scalar(self.text, at)

    def pair(self, at: int, path: KeyPath) -> int:
        """Mark `key: value` or `key = value`; return its end."""
        parts, end = self.syntax.key(self.text, at)
        if (*path, *parts) in self.marks:
            raise given_twice(self.mark(at), (*path, *parts))
        for count in range(1, len(parts) + 1):
            self.marks.setdefault((*path, *parts[:count]), self.mark(at))
        return self.value(self.skip(self.skip(end) + 1), (*path, *parts))

    def _item(self, at: int, path: KeyPath) -> int:
        self.marks[path] = self.mark(at)
        return self.value(at, path)

    def _items(self, at: int, close: str, one: Callable[[int, int], int]) -> int:
        at, index = self.skip(at + 1), 0
        while self.text[at] != close:
            at, index = self.skip(one(at, index)), index + 1
            if self.text[at] == ",":
                at = self.skip(at + 1)
        return at + 1


def json_marks(text: str) -> dict[KeyPath, Mark]:
    """Mark every key and item of a valid JSON text.

    Raises:
        TextError: An object has a key twice.
    """
    scanner = _Scanner(text, _JSON_SYNTAX)
    scanner.value(scanner.skip(0), ())
    return scanner.marks


def toml_marks(text: str) -> dict[KeyPath, Mark]:
    """Mark every key, table and item of a valid TOML text."""
    scanner, tables = _Scanner(text, _TOML_SYNTAX), _Tables()
    at, table = scanner.skip(0), KeyPath()
    while at < len(text):
        if text[at] == "[":
            parts, end = _toml_key(text, scanner.skip(at + (2 if text[at + 1] == "[" else 1)))
            table = tables.open(parts, another=text[at + 1] == "[")
            for count in range(1, len(table) + 1):
                scanner.marks.setdefault(table[:count], scanner.mark(at))
            at = text.index("]", end) + (2 if text[at + 1] == "[" else 1)
        else:
            at = scanner.pair(at, table)
        at = scanner.skip(at)
    return scanner.marks


class _Tables:
    """Counts the elements of each `[[array of tables]]`."""

    def __init__(self) -> None:
        self._last: dict[KeyPath, int] = {}

    def open(self, parts: KeyPath, *, another: bool) -> KeyPath:
        """Return the path of the table that a header starts."""
        path = KeyPath()
        for part in parts[:-1]:
            path = self._inside((*path, part))
        path = (*path, parts[-1])
        if another:
            self._last[path] = self._last.get(path, -1) + 1
        return self._inside(path)

    def _inside(self, path: KeyPath) -> KeyPath:
        return (*path, self._last[path]) if path in self._last else path


def _json_key(text: str, at: int) -> tuple[KeyPath, int]:
    key, end = _JSON.raw_decode(text, at)
    return (key,), end


def _json_scalar(text: str, at: int) -> int:
    return int(_JSON.raw_decode(text, at)[1])


def _toml_key(text: str, at: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while True:
        found = _STRING.match(text, at) or _BARE_KEY.match(text, at)
        assert found is not None  # noqa: S101 - tomllib accepted the text
        parts.append(_unquote(found.group()))
        dot = _DOT.match(text, found.end())
        if dot is None:
            return tuple(parts), found.end()
        at = dot.end()


def _unquote(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] in "\"'" else key


def _toml_scalar(text: str, at: int) -> int:
    found = _MULTILINE.match(text, at) or _STRING.match(text, at) or _BARE_VALUE.match(text, at)
    return found.end() if found else at


_JSON_SYNTAX = _Syntax(re.compile(r"\s*"), _json_key, _json_scalar)
_TOML_SYNTAX = _Syntax(re.compile(r"(?:\s|#[^\n]*)*"), _toml_key, _toml_scalar)
