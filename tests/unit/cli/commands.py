"""Every command there is, by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from raft_snapshot_agent.cli.app import app


def _walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), child
        yield from _walk(child, (*path, name))


COMMANDS = dict(_walk(typer.main.get_command(app)))
