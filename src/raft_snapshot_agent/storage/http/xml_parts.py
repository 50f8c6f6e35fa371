"""Parses XML from a store part by part: UTF-8, no document type, limited depth and size.

The parser itself refuses entities and document types, so another encoding cannot hide them. Only
the requested parts are kept, so memory does not grow with the document.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

_STEP = 64 << 10
_DEEPEST = 32
_DEPTHS = (2, 3)
"""Greatest depth of elements; the root has depth 1."""
_MOST_NODES = 2000
"""Most elements of one part."""


def parts(document: bytes, wanted: Container[str]) -> Iterator[ET.Element]:
    """Find children and grandchildren of the root that have one of these names.

    Arguments:
        document: The document as received.
        wanted: Names without namespaces; returned elements have them, as in `{DAV:}prop`.

    Raises:
        ValueError: It is not XML, or has more than plain elements and text.
    """
    reader = _Reader(wanted)
    try:
        for start in range(0, len(document), _STEP):
            reader.feed(document[start : start + _STEP])
            yield from reader.taken()
        reader.feed(b"", final=True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not XML: {error}") from None
    yield from reader.taken()


class _Reader:
    """Handlers of the parser: one pair between the parts, and one within a part."""

    def __init__(self, wanted: Container[str]) -> None:
        self._wanted = wanted
        self._depth = self._top = 0
        self._nodes = 0
        self._part = ET.TreeBuilder()
        self._names = _Names()
        self._ready: list[ET.Element] = []
        # Overrides the encoding that the document declares.
        parser = self._parser = expat.ParserCreate("utf-8", "}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse("a document type")
        parser.EntityDeclHandler = _refuse("an entity")
        self._leave_part()

    def feed(self, text: bytes, *, final: bool = False) -> None:
        self._parser.Parse(text, final)

    def taken(self) -> list[ET.Element]:
        taken, self._ready = self._ready, []
        return taken

    def _enter_part(self) -> None:
        self._part, self._nodes, self._top = ET.TreeBuilder(), 0, self._depth
        self._parser.StartElementHandler = self._start_within
        self._parser.EndElementHandler = self._end_within
        self._parser.CharacterDataHandler = self._part.data

    def _leave_part(self) -> None:
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth + 1 in _DEPTHS and name.rpartition("}")[2] in self._wanted:
            self._enter_part()
            self._start_within(name, attributes)
            return
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} elements")

    def _start_within(self, name: str, attributes: dict[str, str]) -> None:
        self._depth = depth = self._depth + 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} elements")
        self._nodes = nodes = self._nodes + 1 + len(attributes)
        if nodes > _MOST_NODES:
            raise ValueError(f"one of its parts has more than {_MOST_NODES} elements")
        self._part.start(self._names[name], attributes)

    def _end(self, _name: str) -> None:
        self._depth -= 1

    def _end_within(self, name: str) -> None:
        element: Any = self._part.end(self._names[name])
        self._depth = depth = self._depth - 1
        if depth == self._top:
            self._ready.append(element)
            self._leave_part()


class _Names(dict[str, str]):
    """Names of elements as `ElementTree` writes them, by those of the parser."""

    def __missing__(self, name: str) -> str:
        self[name] = full = f"{{{name}" if "}" in name else name
        return full


def _refuse(what: str) -> Any:
    def refuse(*_: object) -> None:
        raise ValueError(f"it declares {what}")

    return refuse
