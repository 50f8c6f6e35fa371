"""Spans of time for people."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def span(length: timedelta) -> str:
    """Write a span of time in its largest unit and the next, such as `3h20m` or `390d`."""
    seconds = int(max(length, timedelta(0)).total_seconds())
    first = next((place for place, (_, size) in enumerate(_UNITS) if seconds >= size), -1)
    text = ""
    for unit, size in _UNITS[first:][:2]:
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
