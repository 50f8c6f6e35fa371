"""Options that several commands share, and the functions that evaluate them."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:  # its import takes longer than all of --help
    from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet

T = TypeVar("T")

DEBUG = "--debug"


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file."),
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="The cluster, if there are several.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="The output format.")]
StorageOption = Annotated[
    str | None, typer.Option("--storage", metavar="NAME", help="Only this storage.")
]
OverwriteOption = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
LatestOption = Annotated[bool, typer.Option("--latest", help="The newest verified snapshot.")]
StoredArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name as list shows it; by default the newest."),
]
SnapshotArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE|NAME|-]",
        help="A file, a stored snapshot, or - for standard input; by default the newest stored.",
    ),
]


def load_cluster(context: typer.Context, config: Path | None, cluster: str | None) -> Loaded:
    """Load the configuration of the one cluster that a command is for."""
    return _all(context, config).one(find_cluster_name(context, cluster))


def load_fleet(context: typer.Context, config: Path | None, cluster: str | None) -> LoadedFleet:
    """Load the configuration of all clusters, or of the one that is named."""
    return _all(context, config).only(find_cluster_name(context, cluster))


def locate_configuration(context: typer.Context, config: Path | None) -> Path | None:
    """Return the configuration file, valid or not; `None` if there is none."""
    from raft_snapshot_agent.config.load import locate

    return locate(_given_anywhere(context, "config", config), os.environ)


def find_cluster_name(context: typer.Context, cluster: str | None) -> str | None:
    """Return the cluster named before or after the command."""
    return _given_anywhere(context, "cluster", cluster)


def _all(context: typer.Context, config: Path | None) -> LoadedFleet:
    """Load the configuration named before or after the command, or found by default."""
    from raft_snapshot_agent.config.load import load_all
    from raft_snapshot_agent.dumps import forbid_dumps

    forbid_dumps()
    return load_all(_given_anywhere(context, "config", config), os.environ)


def _given_anywhere(context: typer.Context, name: str, after: T | None) -> T | None:
    """Return the value of an option given after the command, else before it."""
    before: T | None = context.find_root().params.get(name)
    return after or before
