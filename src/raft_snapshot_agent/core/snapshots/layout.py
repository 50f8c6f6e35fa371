"""Layouts of timestamps in names: those of `strftime`, and those of Go."""

from __future__ import annotations

import re

_DIRECTIVES = {
    "2006": "%Y",
    "01": "%m",
    "02": "%d",
    "15": "%H",
    "04": "%M",
    "05": "%S",
    "-0700": "%z",
    "Z0700": "%z",
    "06": "%y",
    "Jan": "%b",
    "January": "%B",
    "Mon": "%a",
    "Monday": "%A",
    "03": "%I",
    "PM": "%p",
    "002": "%j",
}
"""Source: the constants of Go's package time."""
_ELEMENT = re.compile("|".join(sorted(_DIRECTIVES, key=len, reverse=True)))
_UNKNOWN = re.compile(r"%(?![YmdHMSzybBaAIpjf%])")


def directives(layout: str) -> str:
    """Return a layout in the syntax of `strftime`.

    Arguments:
        layout: With `%` it already has that syntax; otherwise it is a layout of Go.

    Raises:
        ValueError: It has an unknown directive.
    """
    if unknown := _UNKNOWN.search(layout):
        raise ValueError(f"{layout[unknown.start() :][:2]!r} is no directive for a timestamp")
    if "%" in layout:
        return layout
    return _ELEMENT.sub(lambda found: _DIRECTIVES[found[0]], layout)
