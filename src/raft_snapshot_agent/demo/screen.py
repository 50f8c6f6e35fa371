"""How the demo shows its steps: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from raft_snapshot_agent.errors import AgentError


@dataclass(slots=True)
class Screen:
    """Prints each step when it ended: how, after how long, and what was seen."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    held: int = 0
    started: float = field(default_factory=time.monotonic)

    def title(self, text: str) -> None:
        self.console.print(f"[bold]{text}[/]\n")

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
            self._line("[red]FAIL[/]", start, f"{doing}: {error}")
            raise
        self.held += 1
        self._line("[green] ok [/]", start, "; ".join(seen) or doing)

    def detail(self, text: str) -> None:
        """Print a line that belongs to the step before."""
        self.console.print(f"                {text}", style="dim", markup=False)

    def end(self) -> None:
        seconds = time.monotonic() - self.started
        self.console.print(f"\n[bold]All {self.held} steps held, in {seconds:.0f} s.[/]")

    def _line(self, verdict: str, start: float, text: str) -> None:
        self.console.print(f"\\[{verdict}] {time.monotonic() - start:5.1f} s  {text}")
