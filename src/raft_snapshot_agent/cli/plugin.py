"""A command for monitoring systems, which reports wrong arguments as `UNKNOWN`."""

from __future__ import annotations

from typing import Any

import typer
from typer.exceptions import TyperException

from raft_snapshot_agent.cli.once import OnceCommand


class PluginCommand(OnceCommand):
    """Exit with 3, `UNKNOWN`, for wrong arguments: exit code 1 would mean `WARNING`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            typer.Exit: They are wrong; a line with the reason was printed.
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
