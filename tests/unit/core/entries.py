"""Writes storage entries as a server does."""

from __future__ import annotations

from collections.abc import Mapping


def varint(number: int) -> bytes:
    """Write an unsigned varint."""
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def entry(key: bytes, value: bytes = b"", more: bytes = b"") -> bytes:
    """Write one entry; `more` are fields that follow."""
    message = b"\x0a" + varint(len(key)) + key
    if value:
        message += b"\x12" + varint(len(value)) + value
    message += more
    return varint(len(message)) + message


def state(entries: Mapping[bytes, bytes]) -> bytes:
    """Write entries in the order of their keys."""
    return b"".join(entry(key, value) for key, value in sorted(entries.items()))
