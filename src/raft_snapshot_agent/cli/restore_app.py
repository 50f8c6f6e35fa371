"""The command that replaces what a cluster holds: its arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from raft_snapshot_agent.cli.options import (
    ClusterOption,
    ConfigOption,
    LatestOption,
    SnapshotArgument,
    StorageOption,
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Accept the snapshot of another cluster.")
    ] = False,
    no_safety: Annotated[
        bool, typer.Option("--no-safety", help="Take no safety snapshot before: no way back.")
    ] = False,
    unseal_key: Annotated[
        list[str] | None,
        typer.Option(
            "--unseal-key",
            metavar="REFERENCE",
            help="env://NAME or file:///PATH of an unseal key, for nodes that are sealed"
            " afterwards; may be given again.",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long the nodes may take.")
    ] = "5m",
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    storage: StorageOption = None,
) -> int:
    """Put a snapshot back into the cluster, and wait until it is back.

    It is verified first; then a safety snapshot of what is there is stored and held, and the
    cluster's name asked for. The token comes from VAULT_TOKEN (or BAO_TOKEN), else from the
    configuration; it needs update on sys/storage/raft/snapshot.
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
        cluster=cluster or context.find_root().params.get("cluster"),
    )
    return command.restore_snapshot(load_cluster(context, config, cluster), wish)
