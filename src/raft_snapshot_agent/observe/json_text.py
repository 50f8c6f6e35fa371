"""Writes documents as JSON without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from raft_snapshot_agent.redaction import redact


def write_json(value: Any) -> bytes:
    """Write a document of mappings, lists and plain values.

    Its texts, which may be hundreds of thousands, are searched for secrets in one pass, each on its
    own line. In the finished JSON, a pattern could match beyond the end of a text.
    """
    texts = [*_list_texts(value)]
    lines = redact("\n".join(texts)).split("\n")
    if len(lines) != len(texts):  # one of them has several lines
        lines = [redact(text) for text in texts]
    clean = _replace_texts(value, iter(lines))
    return json.dumps(clean, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _list_texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from _list_texts(one)
        case list():
            for one in value:
                yield from _list_texts(one)


def _replace_texts(value: Any, clean: Iterator[str]) -> Any:
    match value:
        case str():
            return next(clean)
        case dict():
            return {key: _replace_texts(one, clean) for key, one in value.items()}
        case list():
            return [_replace_texts(one, clean) for one in value]
        case _:
            return value
