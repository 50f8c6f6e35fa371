"""The commands for stored snapshots: names, arguments and help."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from raft_snapshot_agent.cli.options import (
    ClusterOption,
    ConfigOption,
    Format,
    FormatOption,
    LatestOption,
    OverwriteOption,
    SnapshotArgument,
    StorageOption,
    StoredArgument,
    load_cluster,
)
from raft_snapshot_agent.cli.together import needs, only_one_of

stored = typer.Typer()


@stored.command("list")
def list_(
    context: typer.Context,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """List stored snapshots."""
    from raft_snapshot_agent.cli import stored as command

    return command.list_stored(load_cluster(context, config, cluster), storage, layout)


@stored.command()
def inspect(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    snapshot: SnapshotArgument = None,
    latest: LatestOption = False,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", metavar="N", min=1, max=1000, help="Count by the first N parts of a key."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--filter", metavar="PREFIX", help="Count only keys with this prefix.")
    ] = "",
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Show what a snapshot contains, by mount or prefix."""
    from raft_snapshot_agent.cli import contents as command

    only_one_of(NAME=snapshot, latest=latest)
    return command.inspect(
        lambda: load_cluster(context, config, cluster),
        None if latest else snapshot,
        storage,
        layout,
        depth=depth,
        prefix=prefix,
    )


@stored.command()
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="A name, a file, or -.")],
    after: Annotated[str, typer.Argument(metavar="B", help="A name, a file, or -.")],
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Show what changed between two snapshots."""
    from raft_snapshot_agent.cli import contents as command

    return command.diff(
        lambda: load_cluster(context, config, cluster), (before, after), storage, layout
    )


@stored.command()
def verify(
    context: typer.Context,
    snapshot: SnapshotArgument = None,
    latest: LatestOption = False,
    every: Annotated[bool, typer.Option("--all", help="Everything that is stored.")] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Read a snapshot completely and verify it."""
    from raft_snapshot_agent.cli import stored as command

    only_one_of(NAME=snapshot, latest=latest, all=every)
    wanted = None if latest or every else snapshot
    return command.verify(
        lambda: load_cluster(context, config, cluster),
        wanted,
        every=every,
        layout=layout,
        only=storage,
    )


@stored.command()
def fetch(
    context: typer.Context,
    snapshot: StoredArgument = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A file, a folder, or - for standard output."
        ),
    ] = ".",
    latest: LatestOption = False,
    force: OverwriteOption = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
) -> int:
    """Copy a stored snapshot to the local disk and verify it."""
    from raft_snapshot_agent.cli import fetching as command
    from raft_snapshot_agent.cli.target import parse_target

    only_one_of(NAME=snapshot, latest=latest)
    wanted = None if latest else snapshot
    load = partial(load_cluster, context, config, cluster)
    if output == "-":
        needs("FILE", force=force)
        return command.fetch_to_stdout(load, wanted, storage)
    return command.fetch(load, wanted, storage, parse_target(output), overwrite=force)


@stored.command()
def copy(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--from", metavar="STORAGE", help="The storage to copy from.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="STORAGE", help="The storage to copy to.")],
    snapshot: StoredArgument = None,
    latest: LatestOption = False,
    every: Annotated[bool, typer.Option("--all", help="Everything that is stored.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied.")] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Copy snapshots from one storage to another, and verify each.

    With --all, what the target already has with the same size and manifest is skipped unread, so
    an interrupted copy can be repeated. A single one is read there, and replaced if it is broken.
    Manifests, holds and results of drills are copied, too; nothing is deleted.
    """
    from raft_snapshot_agent.cli import copying as command

    only_one_of(NAME=snapshot, latest=latest, all=every)
    wish = command.CopyWish(source, target, None if latest else snapshot, every, dry_run)
    return command.copy(load_cluster(context, config, cluster), wish, layout)


@stored.command()
def prune(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would do, with the same exit code.")
    ] = False,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge",
            help="Accept that the cluster is another, or was wiped; show what the next prune will "
            "delete, without deleting.",
        ),
    ] = False,
    broken: Annotated[
        bool,
        typer.Option(
            "--broken",
            help="Verify snapshots that are marked as broken again, and delete those that are "
            "broken.",
        ),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Delete in one run what would be spread over several."),
    ] = False,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
    layout: FormatOption = Format.TABLE,
) -> int:
    """Delete what retention does not keep, and print why the rest is kept."""
    from raft_snapshot_agent.cli import keeping as command

    only_one_of(acknowledge=acknowledge, broken=broken)
    only_one_of(acknowledge=acknowledge, all=everything)
    wish = command.Wish(dry_run, acknowledge, broken, everything)
    return command.prune(load_cluster(context, config, cluster), storage, wish, layout)


@stored.command()
def hold(
    context: typer.Context,
    snapshot: Annotated[str, typer.Argument(metavar="NAME", help="As list shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; stored with the snapshot.")] = "",
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
) -> int:
    """Exempt a snapshot from retention."""
    from raft_snapshot_agent.cli import keeping as command

    return command.hold(load_cluster(context, config, cluster), snapshot, storage, reason)


@stored.command()
def release(
    context: typer.Context,
    snapshot: Annotated[str, typer.Argument(metavar="NAME", help="As list shows it.")],
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
) -> int:
    """Make a held snapshot subject to retention again."""
    from raft_snapshot_agent.cli import keeping as command

    return command.release(load_cluster(context, config, cluster), snapshot, storage)
