"""The command `restore`: arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from raft_snapshot_agent.cli.options import (
    ClusterOption,
    ConfigOption,
    LatestOption,
    SnapshotArgument,
    StorageOption,
    find_cluster_name,
    load_cluster,
)
from raft_snapshot_agent.cli.recover_app import AtOption
from raft_snapshot_agent.cli.together import only_one_of

restoring = typer.Typer()


@restoring.command()
def restore(  # noqa: PLR0913, PLR0917 - each is an option of the command
    context: typer.Context,
    snapshot: SnapshotArgument = None,
    latest: LatestOption = False,
    at: AtOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a snapshot of another cluster.")
    ] = False,
    no_safety: Annotated[
        bool,
        typer.Option("--no-safety", help="Take no safety snapshot: the restore cannot be undone."),
    ] = False,
    unseal_key: Annotated[
        list[str] | None,
        typer.Option(
            "--unseal-key",
            metavar="REFERENCE",
            help="env://NAME or file:///PATH of an unseal key, for nodes that are sealed "
            "afterwards; may be repeated.",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the nodes.")
    ] = "5m",
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
) -> int:
    """Restore a snapshot into the cluster, and wait for its nodes.

    It verifies the snapshot, stores and holds a safety snapshot of the present data, and asks for
    the cluster's name. The token is VAULT_TOKEN (or BAO_TOKEN), else that of the configured login;
    it needs update on sys/storage/raft/snapshot.
    """
    from raft_snapshot_agent.cli import restoring as command

    only_one_of(NAME=snapshot, latest=latest, at=at)
    wish = command.RestoreWish(
        snapshot=None if latest else snapshot,
        at=at,
        storage=storage,
        yes=yes,
        force=force,
        safety=not no_safety,
        unseal_keys=tuple(unseal_key or ()),
        wait=command.read_patience(wait),
        cluster=find_cluster_name(context, cluster),
    )
    return command.restore_snapshot(load_cluster(context, config, cluster), wish)
