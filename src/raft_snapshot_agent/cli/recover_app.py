"""The commands `recover` and `browse`: names, arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from raft_snapshot_agent.cli.options import (
    ClusterOption,
    ConfigOption,
    Format,
    FormatOption,
    LatestOption,
    OverwriteOption,
    StorageOption,
    load_cluster,
)
from raft_snapshot_agent.cli.together import needs, only_one_of

secrets = typer.Typer()
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="The newest snapshot not after that time."),
]
OutputOption = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write JSON (0600) instead."),
]


@secrets.command()
def recover(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[FILE|NAME] PATH...",
            help="The snapshot, unless --latest or --at names it, and paths as bao kv get takes"
            " them.",
        ),
    ],
    latest: LatestOption = False,
    at: AtOption = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="Write to another path.")
    ] = None,
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="Only this field.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, max=10**9, help="Of KV version 2; default: the newest."),
    ] = None,
    output: OutputOption = None,
    show: Annotated[bool, typer.Option("--show", help="Show values in the difference.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference without writing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: OverwriteOption = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Write single secrets of a snapshot back, and change nothing else.

    The snapshot is restored into an isolated throw-away server (see drill), unsealed with the keys
    of drill.unseal. Secrets are written with VAULT_TOKEN (or BAO_TOKEN), after a confirmation.
    """
    from raft_snapshot_agent.cli import recovering as command
    from raft_snapshot_agent.cli.target import parse_target

    only_one_of(latest=latest, at=at)
    only_one_of(output=output, to=to)
    only_one_of(output=output, dry_run=dry_run)
    if output is None:
        needs("--output", force=force)
    snapshot, paths = command.split_names(names, latest=latest, at=at)
    file = None if output is None else parse_target(output)
    wish = command.RecoverWish(
        tuple(paths), to, field, version or 0, file, show, dry_run, yes, force
    )
    chosen = command.Source(snapshot, at, storage)
    return command.recover(load_cluster(context, config, cluster), chosen, wish, layout)


@secrets.command()
def browse(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|NAME] [PREFIX]",
            help="The snapshot, unless --latest or --at names it, and where to look.",
        ),
    ] = None,
    latest: LatestOption = False,
    at: AtOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="At any depth.")] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """List paths in a snapshot, without values."""
    from raft_snapshot_agent.cli import recovering as command

    only_one_of(latest=latest, at=at)
    snapshot, prefix = command.split_names(names or (), latest=latest, at=at)
    chosen = command.Source(snapshot, at, storage)
    where = "/".join(prefix)
    return command.browse(
        load_cluster(context, config, cluster), chosen, where, recursive=recursive, layout=layout
    )
