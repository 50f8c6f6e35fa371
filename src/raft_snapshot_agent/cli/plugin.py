"""A command that a monitoring system runs: what is wrong with its arguments is told its way."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException


class PluginCommand(TyperCommand):
    """Ends with `UNKNOWN` where others end with a local failure, which would mean `WARNING`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            typer.Exit: They are wrong; the line says why.
        """
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            from raft_snapshot_agent.cli import output
            from raft_snapshot_agent.core.state.holding import CheckState
            from raft_snapshot_agent.doctor.nagios import unknown_line

            says = error.format_message().replace("Value error, ", "").rstrip(".")
            output.text(unknown_line(f"{says} (see --help)"))
            raise typer.Exit(int(CheckState.UNKNOWN)) from error
