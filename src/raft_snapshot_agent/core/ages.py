"""Durations: how they are displayed, and whether they have passed."""

from __future__ import annotations

from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def format_age(length: timedelta) -> str:
    """Return a duration in its two largest units, such as `3h20m` or `390d`."""
    seconds = max(length, timedelta(0)) // _SECOND
    for place, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            next_unit, next_size = _UNITS[min(place + 1, len(_UNITS) - 1)]
            more = rest // next_size
            return f"{count}{unit}{more}{next_unit}" if more else f"{count}{unit}"
    return "0s"


def is_within(begin: datetime, length: timedelta, now: datetime) -> bool:
    """Return whether less than a duration has passed; a clock set back delays nothing."""
    return timedelta(0) <= now - begin < length
