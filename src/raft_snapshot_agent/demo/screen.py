"""How the demo shows its steps: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raft_snapshot_agent.errors import AgentError

_NO_LIMIT = 10_000


def _console() -> Console:
    # A pipe has no width: nothing is cut there.
    width = None if sys.stdout and sys.stdout.isatty() else _NO_LIMIT
    return Console(highlight=False, width=width)


@dataclass(slots=True)
class Screen:
    """Prints each step when it ended: how, after how long, and what was seen."""

    console: Console = field(default_factory=_console)
    held: int = 0
    failed: bool = False
    started: float = field(default_factory=time.monotonic)

    def title(self, text: str) -> None:
        self.console.print(f"{text}\n", style="bold", markup=False)

    @contextmanager
    def step(self, doing: str) -> Iterator[list[str]]:
        """Time a step; what it appends to the list is shown as its result.

        Raises:
            AgentError: The step did not hold.
        """
        seen: list[str] = []
        start = time.monotonic()
        try:
            with self.console.status(f"{doing} ..."):
                yield seen
        except AgentError as error:
            self.failed = True
            self._line(Text("FAIL", "red"), start, f"{doing}: {error}")
            raise
        self.held += 1
        self._line(Text(" ok ", "green"), start, "; ".join(seen) or doing)

    def detail(self, text: str) -> None:
        """Print a line that belongs to the step before."""
        self._row(Text(" " * 14), Text(text, "dim"))

    def note(self, text: str) -> None:
        """Print a line as it is, however long: it may be a command to copy."""
        self.console.print(text, markup=False, soft_wrap=True)

    def end(self) -> None:
        seconds = time.monotonic() - self.started
        self.console.print(f"\nAll {self.held} steps held, in {seconds:.0f} s.", style="bold")

    def _line(self, verdict: Text, start: float, text: str) -> None:
        seconds = time.monotonic() - start
        self._row(Text.assemble("[", verdict, f"] {seconds:5.1f} s"), Text(text))

    def _row(self, left: Text, right: Text) -> None:
        """Print two columns; a long text goes on below itself."""
        row = Table.grid(padding=(0, 2))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(left, right)
        self.console.print(row)
