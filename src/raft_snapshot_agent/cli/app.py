"""The command line: names, arguments and help. A command's code is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raft_snapshot_agent import __version__
from raft_snapshot_agent.cli.config_app import configuration
from raft_snapshot_agent.cli.examples import add_examples
from raft_snapshot_agent.cli.notify_app import notifications
from raft_snapshot_agent.cli.once import OnceGroup, refuse_repeats
from raft_snapshot_agent.cli.options import (
    DEBUG,
    ClusterOption,
    ConfigOption,
    Format,
    FormatOption,
    LatestOption,
    OverwriteOption,
    SnapshotArgument,
    StorageOption,
    find_cluster_name,
    load_cluster,
    load_fleet,
    locate_configuration,
)
from raft_snapshot_agent.cli.plugin import PluginCommand
from raft_snapshot_agent.cli.recover_app import secrets
from raft_snapshot_agent.cli.restore_app import restoring
from raft_snapshot_agent.cli.stored_app import stored
from raft_snapshot_agent.cli.together import needs, only_one_of

app = typer.Typer(
    name="raft-snapshot-agent",
    cls=OnceGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich help takes twice as long
    pretty_exceptions_enable=False,
    help=(
        "Snapshots of the Raft storage of HashiCorp Vault and OpenBao, proved whole.\n\n"
        "Exit codes: 0 done, 1 local (usage, configuration), 2 remote (server or storage),"
        " 3 partial, 4 verification failed, 5 not the leader, 6 an alarm is active,"
        " 129/130/143 signals."
    ),
)
app.add_typer(stored)
app.add_typer(restoring)
app.add_typer(secrets)
app.add_typer(configuration, name="config")
app.add_typer(notifications, name="notify")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"raft-snapshot-agent {__version__}")
        raise typer.Exit


def _debug(asked: bool) -> None:
    if asked:
        from raft_snapshot_agent.observe.logs import configure

        configure("text", "debug")


@app.callback()
def root(
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    debug: Annotated[
        bool,
        typer.Option(DEBUG, callback=_debug, help="Log all requests; show tracebacks."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command()
def run(
    context: typer.Context,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    once: Annotated[bool, typer.Option("--once", help="Take one snapshot now, then exit.")] = False,
    require_leader: Annotated[
        bool, typer.Option(help="With --once: exit 5 if another agent is responsible.")
    ] = False,
) -> int:
    """Run the daemon: snapshots on schedule, beside the leader only."""
    if once:
        from raft_snapshot_agent.cli.run_once import run_once

        return run_once(load_fleet(context, config, cluster), require_leader=require_leader)
    from raft_snapshot_agent.cli import run as command

    needs("--once", require_leader=require_leader)
    command.run(lambda: load_fleet(context, config, cluster))
    return 0


@app.command()
def save(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|-]", help="A file, or - for standard output; by default every storage."
        ),
    ] = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    force: OverwriteOption = False,
) -> int:
    """Take a snapshot now, wherever the leader is."""
    from raft_snapshot_agent.cli import save as command
    from raft_snapshot_agent.cli.target import parse_target

    only_one_of(FILE=file, storage=storage)
    if file in {None, "-"}:
        needs("FILE", force=force)
    if file is None:
        return command.save_everywhere(load_cluster(context, config, cluster), storage)
    if file == "-":
        return command.save_to_stdout(load_cluster(context, config, cluster))
    target = parse_target(file)
    return command.save_to_file(load_cluster(context, config, cluster), target, overwrite=force)


@app.command()
def drill(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    snapshot: SnapshotArgument = None,
    latest: LatestOption = False,
    server: Annotated[
        Path | None, typer.Option("--server", metavar="PATH", help="The server's program.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the server running until Ctrl-C, for inspection.")
    ] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Restore a snapshot into a throw-away server, and check it.

    The server is isolated from all networks and removed afterwards. Unseal keys and
    canaries are set in the configuration. Without keys the server stays sealed: this proves only
    that it accepts the snapshot.
    """
    from raft_snapshot_agent.cli import drilling as command

    only_one_of(NAME=snapshot, latest=latest)
    wish = command.DrillWish(None if latest else snapshot, storage, server, keep)
    return command.drill(lambda: load_cluster(context, config, cluster), wish, layout)


@app.command()
def doctor(
    context: typer.Context,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    layout: FormatOption = Format.TABLE,
    probe: Annotated[
        bool, typer.Option("--probe", help="Write a small object to each storage; remove it.")
    ] = False,
) -> int:
    """Check everything without changing anything, and print what to do."""
    from raft_snapshot_agent.cli import doctor as command

    return command.doctor(load_cluster(context, config, cluster), layout, probe=probe)


@app.command(cls=PluginCommand)
def check(
    context: typer.Context,
    max_age: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Maximum age; by default the schedule's."),
    ] = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this storage; may be repeated."),
    ] = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Print the age of the newest snapshots, for monitoring.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. Prints one line, and reads only the
    storages.
    """
    from raft_snapshot_agent.cli import check as command

    return command.check(
        lambda: load_fleet(context, config, cluster), storage or (), max_age, layout
    )


@app.command()
def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of a daemon's page, on any host."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="The last runs, too.")] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Show the state of all storages, and how to solve problems.

    Asks the daemon that runs with this configuration; if there is none, reads the storages.
    Exit codes: 0 all is well, 6 something needs attention, 2 snapshots fail.
    """
    from raft_snapshot_agent.cli import status as command

    only_one_of(quiet=quiet, verbose=verbose)
    only_one_of(url=url, config=config)
    wish = command.StatusWish(
        url, watch, quiet, verbose, layout, find_cluster_name(context, cluster)
    )
    source = command.StatusSource(
        lambda: locate_configuration(context, config),
        lambda: load_fleet(context, config, cluster),
    )
    return command.status(source, wish)


@app.command()
def demo(
    stay: Annotated[
        bool,
        typer.Option("--stay", help="Keep cluster, agents and page running to try more."),
    ] = False,
) -> int:
    """Show all functions on an embedded OpenBao cluster."""
    from raft_snapshot_agent.cli import demo as command

    return command.demo(goes_on=stay)


refuse_repeats(app)
add_examples(app)
add_examples(stored)
add_examples(restoring)
add_examples(secrets)
add_examples(configuration, "config")
add_examples(notifications, "notify")
