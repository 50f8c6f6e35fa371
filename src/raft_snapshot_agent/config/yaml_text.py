"""Reads YAML into plain values and the positions of their keys, with limits."""

from __future__ import annotations

import re
from typing import Any

import yaml

from raft_snapshot_agent.config.keys import DEEPEST, PUT_IN_QUOTES, SPACE_AFTER_COLON, KeyPath, Mark
from raft_snapshot_agent.config.positions import TextError, given_twice

_MOST_UNFOLDED = 10_000
"""Values that aliases may add to those in the file."""
_UNFOLDED_EACH = 20
"""More of them for each value in the file: many clusters may share long defaults."""
_TAG = "tag:yaml.org,2002:"
_NUMBERS = {f"{_TAG}int", f"{_TAG}float"}
_DECIMAL = re.compile(
    r"[-+]?(?:0|[1-9][0-9_]*|[0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?i:inf|nan))"
)
"""Not octal (`010`), of base 60 (`1:30`), hexadecimal or binary."""
_IN_DECIMAL = "write a number in decimal digits, and text in quotes"
_SPACES = "indent with spaces"
_AROUND = "look at the indentation, quotes and brackets there and right before"
_BEGUN_BY_A_SIGN = ("tag", "alias", "anchor", "block scalar", "cannot start")
_QUOTED = re.compile(r"(?:,? ?(?:but )?(?:found|got) | )?'([^']*)'+")
_PLAIN = {
    f"{_TAG}{name}"
    for name in ("map", "seq", "merge", "null", "bool", "int", "float", "str", "timestamp")
}


def parse_yaml(text: str) -> tuple[Any, dict[KeyPath, Mark]]:
    """Return the value of the only document, and the marks of its keys and items.

    Dates stay text. Anchors and `<<` work; the values that they expand to are counted, so that a
    small file cannot fill the memory.

    Raises:
        TextError: It is not YAML, has a key twice, or has a tag that is not plain.
        RecursionError: It is nested too deeply, or contains itself.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        what, hint = _explain(error.problem or "it cannot be read", error.context or "")
        raise TextError(f"not YAML: {what}", _mark(at) if at else Mark(1, 1), hint=hint) from None
    except yaml.reader.ReaderError as error:
        before = text[: int(error.position)]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise TextError("a character that YAML does not allow", mark, hint="delete it") from None
    builder = _Builder()
    return (None if node is None else builder.value(node, ())), builder.marks


class _Loader(yaml.SafeLoader):
    """Refuses deep nesting before it costs time: the library takes ever longer for each bracket."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level == DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(token)


class _Builder:
    """Builds values and marks from a tree of nodes."""

    def __init__(self) -> None:
        self.marks: dict[KeyPath, Mark] = {}
        self._left = _MOST_UNFOLDED
        self._met: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count(node, path)
        if isinstance(node, yaml.MappingNode):
            pairs = self._pairs(node, path)
            return {key: self._child(at, child, (*path, key)) for key, (at, child) in pairs.items()}
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return [self._child(item, item, (*path, index)) for index, item in items]
        return self._scalar(node, path)

    def _child(self, at: yaml.Node, node: yaml.Node, path: KeyPath) -> Any:
        self.marks[path] = _mark(at.start_mark)
        return self.value(node, path)

    def _pairs(
        self, node: yaml.MappingNode, path: KeyPath
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, child in node.value:
            self._count(key, path)
            if key.tag == f"{_TAG}merge":
                merged += child.value if isinstance(child, yaml.SequenceNode) else [child]
            elif not isinstance(key, yaml.ScalarNode):
                raise _odd("a key must be plain text", key, path)
            elif node.flow_style and _is_bare(key, child):
                # The rest of a password with a comma and without quotes.
                raise _odd("a key has no value", key, path, _advise_bare(key))
            elif key.value in own:
                raise given_twice(_mark(key.start_mark), (*path, key.value))
            else:
                own[key.value] = (key, child)
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                raise _odd("<< takes mappings only", source, path)
            own = {**self._pairs(source, path), **own}
        return own

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag in {f"{_TAG}timestamp", f"{_TAG}merge"}:
            return node.value
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, KeyError):
            raise _odd("this value cannot be read", node, path) from None
        if node.tag in _NUMBERS and not _DECIMAL.fullmatch(node.value):
            raise _odd("YAML reads this as another number than it shows", node, path, _IN_DECIMAL)
        return value

    def _count(self, node: yaml.Node, path: KeyPath) -> None:
        if node.tag not in _PLAIN:
            # The tag itself may be a password that begins with an exclamation mark.
            raise _odd("a tag (!) is not allowed", node, path, PUT_IN_QUOTES)
        if id(node) not in self._met:
            self._met.add(id(node))
            self._left += _UNFOLDED_EACH
            return
        self._left -= 1
        if self._left < 0:
            raise _odd("the aliases expand to far more values than the file has", node, ())


def _is_bare(key: yaml.Node, child: yaml.Node) -> bool:
    """Return whether a key has no colon."""
    nothing: bool = child.value == "" and child.start_mark.index == key.end_mark.index
    return nothing


def _advise_bare(key: yaml.Node) -> str:
    return f"{SPACE_AFTER_COLON}; {PUT_IN_QUOTES}" if ":" in key.value else PUT_IN_QUOTES


def _explain(problem: str, context: str) -> tuple[str, str]:
    """Return the library's error without words of the file: they may be part of a secret."""
    if "\\t" in problem:
        return problem, _SPACES
    if any(word in problem for word in ("alias", "anchor")):
        return "an alias or anchor (* or &) that cannot be used", PUT_IN_QUOTES
    is_sign = any(word in problem + context for word in _BEGUN_BY_A_SIGN)
    return _QUOTED.sub(_sign, problem), PUT_IN_QUOTES if is_sign else _AROUND


def _sign(quoted: re.Match[str]) -> str:
    """Keep quoted syntax, and remove words of the file."""
    of_the_syntax = quoted[1].startswith("<") or not re.search(r"\w", quoted[1])
    return quoted[0] if of_the_syntax else ""


def _odd(what: str, node: yaml.Node, path: KeyPath, hint: str = "write it plainly") -> TextError:
    return TextError(what, _mark(node.start_mark), path, hint=hint)


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)
