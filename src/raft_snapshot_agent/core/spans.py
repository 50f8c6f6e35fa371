"""Spans of time for people."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def span(length: timedelta) -> str:
    """Write a span of time in its two largest units, such as `3h20m`; a negative one is none."""
    seconds = int(max(length, timedelta(0)).total_seconds())
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
