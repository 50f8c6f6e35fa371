"""The commands `config check`, `show` and `schema`: names, arguments and help."""

from __future__ import annotations

import typer

from raft_snapshot_agent.cli.options import ClusterOption, ConfigOption, load_fleet

configuration = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")


@configuration.command("check")
def config_check(
    context: typer.Context, config: ConfigOption = None, cluster: ClusterOption = None
) -> int:
    """Check the configuration without contacting servers or storages."""
    from raft_snapshot_agent.cli import configuration as command

    return command.check(load_fleet(context, config, cluster))


@configuration.command("show")
def config_show(
    context: typer.Context, config: ConfigOption = None, cluster: ClusterOption = None
) -> int:
    """Print the effective configuration without secrets."""
    from raft_snapshot_agent.cli import configuration as command

    return command.show(load_fleet(context, config, cluster))


@configuration.command("schema")
def config_schema() -> int:
    """Print the JSON schema of the configuration."""
    from raft_snapshot_agent.cli import configuration as command

    return command.schema()
