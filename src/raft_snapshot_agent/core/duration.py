"""Durations in Go's syntax, with days, weeks and years."""

from __future__ import annotations

import re
from datetime import timedelta

import durationpy

# durationpy ignores any text between two numbers, and reads 5mm as five months.
_DURATION = re.compile(
    r"[+-]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w|y))+)"
)
_LONGEST = timedelta(days=36500)


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `30s`, `1h30m` or `7d`.

    Raises:
        ValueError: It is invalid, negative, or longer than a hundred years.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 1h30m or 7d")
    try:
        value: timedelta = durationpy.from_str(text)
    except durationpy.DurationError as error:
        raise ValueError(f"{text!r} is longer than a hundred years") from error
    if value < timedelta(0):
        raise ValueError(f"{text!r} is negative")
    if value > _LONGEST:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return value


def format_duration(value: timedelta) -> str:
    """Return a duration in the syntax of `parse_duration`."""
    if abs(value) < timedelta(seconds=1):
        return str(durationpy.to_str(value))
    sign = "-" if value < timedelta(0) else ""
    minutes, rest = divmod(abs(value), timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest.total_seconds():f}".rstrip("0").rstrip(".")
    parts = ((str(hours), "h"), (str(minutes), "m"), (seconds, "s"))
    return sign + "".join(number + unit for number, unit in parts if number != "0")
