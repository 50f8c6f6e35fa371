"""Tell which storages could not be asked for a newer snapshot, or refuse to go on without them."""

from __future__ import annotations

from collections.abc import Sequence

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.errors import NotThereYet, StorageError
from raft_snapshot_agent.restore.choice import Missed, Unlisted


def warn(text: str) -> None:
    """Print a warning."""
    output.talk(f"warning: {text}")


def warn_of_missed(missed: Sequence[Unlisted]) -> None:
    """Warn of the storages that may hold a newer snapshot than the one that is chosen."""
    for one in missed:
        warn(str(one))


def refuse_missed(missed: Sequence[Unlisted]) -> None:
    """Warn of them, and refuse to choose without them, as nobody is asked.

    A folder that is missing refuses nothing: on a new host there may be none yet.

    Raises:
        StorageError: A storage may hold a newer snapshot.
    """
    warn_of_missed(missed)
    silent = [one.storage for one in missed if not isinstance(one.error, NotThereYet)]
    if silent:
        raise StorageError(
            f"nothing was changed: {', '.join(silent)} may hold a newer snapshot, and --yes lets"
            " nobody decide",
            hint="give the name of the snapshot, or --storage to look in one storage only",
        )


def rule_for(*, yes: bool) -> Missed:
    """Return what to do about such storages, by whether the operator is asked."""
    return refuse_missed if yes else warn_of_missed
