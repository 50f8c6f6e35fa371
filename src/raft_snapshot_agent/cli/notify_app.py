"""The command `notify test`: name, arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from raft_snapshot_agent.cli.options import (
    ClusterOption,
    ConfigOption,
    Format,
    FormatOption,
    load_fleet,
)

notifications = typer.Typer(no_args_is_help=True, help="Test the notifications.")


@notifications.callback()
def _group() -> None: ...  # without a callback Typer would replace the group by its only command


@notifications.command("test")
def notify_test(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Only this notifier.")
    ] = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Send a test message through each notifier, and print each result.

    Exit codes: 0 all accepted it, 2 none did, 3 some did not.
    """
    from raft_snapshot_agent.cli import notifying as command

    return command.test(load_fleet(context, config, cluster), name, layout)
