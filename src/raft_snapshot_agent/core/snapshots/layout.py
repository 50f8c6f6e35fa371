"""Layouts of timestamps in names: those of `strftime`, and those of Go.

Two directives are not of `strftime`: `%3f`, milliseconds, and `%:z`, the offset with a colon.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache

_DIRECTIVES = {
    "2006": "%Y",
    "01": "%m",
    "02": "%d",
    "15": "%H",
    "04": "%M",
    "05": "%S",
    "06": "%y",
    "Jan": "%b",
    "January": "%B",
    "Mon": "%a",
    "Monday": "%A",
    "03": "%I",
    "PM": "%p",
    "002": "%j",
    ".000": ".%3f",
    ",000": ",%3f",
    ".000000": ".%f",
    ",000000": ",%f",
    "-0700": "%z",
    "-07:00": "+00:00",
    "-07": "+00",
    "Z0700": "Z",
    "Z07:00": "Z",
    "Z07": "Z",
    "MST": "UTC",
}
"""Source: the constants of Go's package time. Zones are as in UTC."""
_LOCAL = {"Z0700": "%z", "Z07:00": "%:z", "-07:00": "%:z"}
"""What these write in other zones than UTC."""
_ONCE_LITERAL = {"-07:00", "-07", "Z07:00", "Z07", "MST"}
"""Elements that earlier versions wrote as they are: `-07:00` in a name may be no offset, but only
beside a manifest."""
_ELEMENT = re.compile(
    r"[.,](?:0+|9+)(?![0-9])"  # fractions of a second
    r"|[-Z]07(?::?00){0,2}|MST"
    r"|January|Jan|Monday|Mon|PM|pm"
    r"|2006|002|0[1-6]|15|__2|_2(?!006)|[1-5]"
)
_UNKNOWN = re.compile(r"%(?![YmdHMSzybBaAIpjf%])")


@cache
def list_forms(layout: str) -> tuple[str, ...]:
    """Return a layout in the syntax of `strftime`.

    Arguments:
        layout: With `%` it already has that syntax; otherwise it is a layout of Go.

    Returns:
        First the form for new names, in UTC; then those that the names of earlier versions, and of
        other agents, may have.

    Raises:
        ValueError: It has an unknown directive.
    """
    if unknown := _UNKNOWN.search(layout):
        raise ValueError(f"{layout[unknown.start() :][:2]!r} is no directive for a timestamp")
    if "%" in layout:
        return (layout,)
    new = _ELEMENT.sub(lambda found: _translate(found[0]), layout)
    local = _ELEMENT.sub(lambda found: _LOCAL.get(found[0]) or _translate(found[0]), layout)
    former = _ELEMENT.sub(
        lambda found: found[0] if found[0] in _ONCE_LITERAL else _translate(found[0]), layout
    )
    return tuple(dict.fromkeys((new, former, local)))


def _translate(element: str) -> str:
    """Translate an element of Go.

    Raises:
        ValueError: It has no equivalent: a number without leading zeros, or a longer fraction.
    """
    if element not in _DIRECTIVES:
        raise ValueError(
            f"{element!r} is an element of Go's layouts that is not supported in a timestamp (text"
            " that contains it can be given in the notation of strftime, such as %Y%m%d-%H%M%S)"
        )
    return _DIRECTIVES[element]


def format_time(form: str, moment: datetime) -> str:
    """Write a time in a form of `list_forms`."""
    zone = moment.strftime("%z")
    form = form.replace("%3f", f"{moment.microsecond // 1000:03}")
    return moment.strftime(form.replace("%:z", f"{zone[:3]}:{zone[3:]}"))


def parse_time(form: str, text: str) -> datetime | None:
    """Parse a time in a form of `list_forms`, without a zone in UTC; `None` for any other text."""
    syntax = form.replace("%3f", "%f").replace("%:z", "%z")
    try:
        moment = datetime.strptime(text, syntax)  # noqa: DTZ007 - below
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        # Parsing is lenient, so the result must reproduce the text exactly.
        return moment.astimezone(UTC) if format_time(form, moment) == text else None
    except (ValueError, OverflowError):
        return None
