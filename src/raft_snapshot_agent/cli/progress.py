"""A progress bar for terminals."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from raft_snapshot_agent.cli.output import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_EVERY = 0.1
"""Seconds between two updates."""


@asynccontextmanager
async def show_progress(
    received: Callable[[], int], doing: str = "receiving", total: int | None = None
) -> AsyncIterator[None]:
    """Show a progress bar on standard error if that is a terminal; remove it at the end.

    Arguments:
        received: Returns the number of bytes so far.
        doing: The label of the bar.
        total: The final number of bytes, if known; then the remaining time is shown, too.
    """
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.progress import (
        DownloadColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [
        TextColumn(doing),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    ]
    if total is not None:
        columns += [TextColumn("left"), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        follower = asyncio.ensure_future(
            _follow(progress, progress.add_task("", total=total), received)
        )
        try:
            yield
        finally:
            follower.cancel()


async def _follow(progress: Progress, task: TaskID, received: Callable[[], int]) -> None:
    while True:
        progress.update(task, completed=received())
        await asyncio.sleep(_EVERY)
