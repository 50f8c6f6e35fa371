"""Bytes that are almost right: examples, changed a little, over and over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
_WORDS = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\r\n", b"\n", b"\x1b[2J", b"'", b'"', b"\\", b"\\u0000",
    b"\\ud800", "\u202e".encode(), "\u2028".encode(), "\u0661".encode(), b"&x;", b"<!DOCTYPE x>",
    b"]]>", b"null", b"true", b"[]", b"{}", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1",
    b"0", b"-0", b"1.5", b"9" * 20, b"9" * 5000, b"1" + b"0" * 400, b"9999-12-31T23:59:59-23:59",
    b"0001-01-01T00:00:00+23:59", b"+999999999", b"%00", b"%2f..%2f", b"//", b"../", b"https://[",
    b"unix:///x", b"[" * 2000, b'{"a":' * 2000, b"<a>" * 2000, b"*a", b"&a ", b"!x ", b"<<: ",
)  # fmt: skip
"""What parsers stumble over."""
_MOST = 200_000
"""Bytes of one input."""


def mutated(chance: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Take an example and change it up to eight times."""
    data = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = chance.choice(_CHANGES)(chance, data, corpus)[:_MOST]
    return data


def _place(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((0, 1, 2, 4, 16, 512, 4096)))


def _flip(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _remove(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 50)) + data[end:]


def _replace(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    return data[:start] + chance.choice(_WORDS) + data[end:]


def _value(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put another value where one stands: after a colon, an equals sign or a tag."""
    ends = [at for at, byte in enumerate(data) if byte in b":=>"]
    if not ends:
        return data
    start = chance.choice(ends) + 1
    rest = [data.find(bytes([byte]), start) for byte in b",\n<}"]
    end = min((at for at in rest if at >= 0), default=len(data))
    return data[:start] + chance.choice(_WORDS) + data[end:]


def _splice(chance: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = chance.choice(corpus)
    start, end = _place(chance, data)
    from_, to = _place(chance, other)
    return data[:start] + other[from_:to] + data[end:]


def _cut(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _recode(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    coding = chance.choice(("utf-16", "utf-32", "utf-7", "latin-1", "cp037"))
    return data.decode("utf-8", "replace").encode(coding, "replace")


_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _remove, _repeat, _replace, _value, _value, _value, _splice, _cut, _recode,
)  # fmt: skip
