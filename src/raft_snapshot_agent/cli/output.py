"""Tables, JSON and talk: data to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from raft_snapshot_agent.cli.options import Format

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_NO_LIMIT = 10_000
_SPANS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def talk(text: str) -> None:
    """Tell the person in front of the terminal; nobody listening is no reason to stop."""
    with suppress(OSError):
        print(plain(text), file=sys.stderr, flush=True)


def flush() -> None:
    """Write out what standard output still holds back, while a failure can be told."""
    print(end="", flush=True)


def data(document: Any) -> None:
    """Print a JSON document."""
    print(json.dumps(document, indent=2, default=str))


def table(rows: Sequence[Mapping[str, str]], layout: Format, document: Any = None) -> None:
    """Print rows under their keys as headings, or the document as JSON."""
    if layout is Format.JSON:
        data(rows if document is None else document)
        return
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = "" if os.environ.get("NO_COLOR") else "bold"
    drawn = Table(box=None, pad_edge=False, header_style=heading)
    for key in rows[0]:
        drawn.add_column(key.upper(), no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row.values()))
    # A name that is broken into several lines cannot be copied from a terminal.
    console = Console(width=_NO_LIMIT, highlight=False)
    with console.capture() as capture:
        console.print(drawn)
    for line in capture.get().splitlines():
        print(line.rstrip())


def facts(pairs: Mapping[str, Any], layout: Format) -> None:
    """Print names and values under each other, or as JSON."""
    if layout is Format.JSON:
        data(pairs)
        return
    width = max(map(len, pairs), default=0)
    for key, value in pairs.items():
        print(f"{key.ljust(width)}  {plain(str(value))}")


def plain(text: str) -> str:
    """Replace what a terminal would obey: names, manifests and answers may be anybody's."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def size(count: int) -> str:
    """Write a number of bytes for people."""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit fits everything")


def age(then: datetime, now: datetime) -> str:
    """Write how long ago something was, in its two largest units."""
    seconds = int(max(now - then, timedelta(0)).total_seconds())
    parts = []
    for unit, span in _SPANS:
        count, seconds = divmod(seconds, span)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"


def moment(then: datetime) -> str:
    """Write a time as RFC 3339 in UTC."""
    return then.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
