"""Print tables and JSON to standard output, and messages to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TextIO, TypeVar

from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.redaction import plain
from raft_snapshot_agent.standard_output import flush

_T = TypeVar("_T")

_BOLD = ("\x1b[1m", "\x1b[0m")
_BETWEEN = "\0"
"""Separates the cells of a line that is not printed yet; no printable text has it."""
_NO_LIMIT = 10_000
_APART = timedelta(minutes=1)
_LONGEST = 4000
"""Maximum characters of a text; the agent's own have at most a few hundred."""


def talk(text: str) -> None:
    """Print a message to standard error; ignore a closed terminal."""
    with suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    talk(f"warning: {text}")


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; false if it was closed at the start."""
    return stream is not None and stream.isatty()


def clear() -> None:
    """Clear the terminal."""
    print("\x1b[H\x1b[2J", end="")


def try_to_print(show: Callable[[], object]) -> None:
    """Call what prints to standard output; drop what cannot be written, as it is no data."""
    for step in (show, flush):
        with suppress(OSError):
            step()


def data(document: Any) -> None:
    """Print a JSON document."""
    print(json.dumps(document, indent=2, default=str))


def text(line: str) -> None:
    """Print one line."""
    print(one_line(line))


@dataclass(frozen=True, slots=True)
class Rows(Generic[_T]):
    """Rows that are built when they are printed and not kept, as there may be many."""

    items: Sequence[_T]
    make: Callable[[_T], Mapping[str, Any]]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self.make, self.items)


def table(
    rows: Iterable[Mapping[str, str]],
    layout: Format,
    document: Iterable[Mapping[str, Any]] | None = None,
) -> None:
    """Print rows as a table with their keys as headings, or the document as JSON.

    Arguments:
        rows: The table; each row is made once, and kept as one text until all widths are known.
        layout: Whether to print a table or JSON.
        document: The JSON document, if it differs from the rows.
    """
    if layout is Format.JSON:
        _print_array(rows if document is None else document)
        return
    widths, lines = list[int](), list[str]()
    for row in rows:
        if not lines:
            widths = [*map(len, row)]
            lines.append(_BETWEEN.join(row).upper())
        cells = [*row.values()]
        is_plain = _is_plain("".join(cells))
        if not is_plain:
            cells = [*map(one_line, cells)]
        widths = [*map(max, widths, map(len if is_plain else _width, cells))]
        lines.append(_BETWEEN.join(cells))
    heading = _BOLD if _takes_styles() else ("", "")
    for number, line in enumerate(lines):
        before, after = ("", "") if number else heading
        print(f"{before}{_padded(line, widths)}{after}")


def _takes_styles() -> bool:
    """Return whether standard output is a terminal on which bold text is possible and wanted."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return is_terminal(sys.stdout) and not is_plain


def _padded(line: str, widths: Sequence[int]) -> str:
    # Not wrapped: a name on several lines cannot be copied from a terminal.
    cells = line.split(_BETWEEN)
    if line.isascii():
        return "  ".join(map(str.ljust, cells, widths)).rstrip()
    padded = (
        cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()


def _is_plain(text: str) -> bool:
    """Return whether a text is printed unchanged, with one column per character."""
    return len(text) <= _LONGEST and text.isascii() and text.isprintable()


def _width(cell: str) -> int:
    """Return how many columns of a terminal a text needs."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(cell)


def _print_array(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON array as `data` does, but one element at a time."""
    before = "[\n"
    for row in rows:
        text = json.dumps(row, indent=2, default=str)
        print(f"{before}{textwrap.indent(text, '  ')}", end="")
        before = ",\n"
    print("[]" if before == "[\n" else "\n]")


def report(findings: Sequence[tuple[str, str, str, str]]) -> None:
    """Print results: status, subject and message, and the hint on the next line."""
    widths = [max(map(len, column), default=0) for column in zip(*findings, strict=True)][:2]
    room = max(_columns() - sum(widths) - 4, 40)
    for word, about, message, advice in findings:
        first = f"{word.ljust(widths[0])}  {about.ljust(widths[1])}  "
        for line in (*_wrap(message, room), *_wrap(advice, room, "-> ")):
            print(f"{first}{line}".rstrip())
            first = " " * len(first)


def _columns() -> int:
    """Return the width of the terminal; output for a program is not wrapped."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else _NO_LIMIT


def _wrap(text: str, room: int, lead: str = "") -> list[str]:
    """Wrap a text between words only: a name that is split cannot be copied."""
    return textwrap.wrap(
        one_line(text),
        room,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def facts(pairs: Mapping[str, Any], layout: Format) -> None:
    """Print names and values, one pair per line, or as JSON."""
    if layout is Format.JSON:
        data(pairs)
        return
    width = max(map(len, pairs), default=0)
    for key, value in pairs.items():
        print(f"{key.ljust(width)}  {one_line(str(value))}")


def one_line(text: str) -> str:
    """Return untrusted text, such as a name or an answer, as one short line."""
    line = plain(text[:_LONGEST]).replace("\n", " ")
    return line if len(text) <= _LONGEST else f"{line}..."


def age(then: datetime, now: datetime) -> str:
    """Format how long ago something was, or in what time it will be, in its two largest units."""
    return f"in {format_age(then - now)}" if is_ahead(then, now) else format_age(now - then)


def is_ahead(then: datetime, now: datetime) -> bool:
    """Return whether a time is in the future, by more than clocks of hosts usually differ."""
    return then - now >= _APART


def moment(then: datetime) -> str:
    """Format a time as RFC 3339 in UTC."""
    return then.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
