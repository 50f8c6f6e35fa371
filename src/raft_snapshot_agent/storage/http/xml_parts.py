"""Parses XML from a store part by part: UTF-8, no document type, limited size of what is kept.

The parser itself refuses document types, and with them entities, so another encoding cannot hide
them. Only the requested parts are kept, so memory does not grow with the document.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from xml.etree import ElementTree as ET

_STEP = 64 << 10
_MOST_NODES = 20_000
"""Most elements and attributes at once: those of one step, and of the parts that continue."""


def parts(document: bytes, wanted: Container[str]) -> Iterator[ET.Element]:
    """Find children and grandchildren of the root that have one of these names.

    Arguments:
        document: The document as received.
        wanted: Names without namespaces; returned elements have them, as in `{DAV:}prop`.

    Raises:
        ValueError: It is not XML, or has more than plain elements and text.
    """
    builder = _Builder()
    above = builder.start("above the root", {})
    # Overrides the encoding that the document declares. The builder refuses what may be an attack.
    parser = ET.XMLParser(target=builder, encoding="utf-8")  # noqa: S314
    try:
        for start in range(0, len(document), _STEP):
            parser.feed(document[start : start + _STEP])
            _limit(above)
            for root in above:
                yield from _take(root, wanted, ended=False)
        parser.close()
    except ET.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from None
    yield from _take(above[0], wanted, ended=True)


def local_name(element: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


class _Builder(ET.TreeBuilder):
    """Builds elements without a call of Python for each."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type")


def _limit(tree: ET.Element) -> None:
    nodes = [*tree.iter()]
    if len(nodes) + sum(map(len, map(ET.Element.keys, nodes))) > _MOST_NODES:
        raise ValueError(f"it has more than {_MOST_NODES} elements and attributes in one place")


def _take(
    parent: ET.Element, wanted: Container[str], *, ended: bool, levels: int = 2
) -> Iterator[ET.Element]:
    """Remove the children that have ended, and yield the requested ones; likewise for theirs."""
    children = parent[:]
    complete = len(children) if ended else len(children) - 1  # the last one continues
    for number, child in enumerate(children):
        if local_name(child) in wanted:
            if number < complete:
                yield child
        elif levels > 1:
            yield from _take(child, wanted, ended=number < complete, levels=levels - 1)
    del parent[: max(complete, 0)]
