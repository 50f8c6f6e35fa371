"""`restore`: asks first, then puts a snapshot back and waits until the cluster is back."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import anyio

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.operator import with_token_file
from raft_snapshot_agent.cli.stored import places_for
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.core.snapshot import Manifest
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.origin import choose
from raft_snapshot_agent.restore import BY_FORCE, Fetched, fetched, restore
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.auth import TokenAuth
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings, environment_token


def restore_snapshot(loaded: Loaded, wanted: str | None, *, yes: bool, force: bool) -> int:
    """Restore a snapshot into the configured cluster; return the exit code."""
    if not (yes or sys.stdin.isatty()):
        raise ConfigError("nobody is there to confirm the restore", hint="give --yes")
    loaded = with_token_file(loaded, os.environ)
    places = places_for(lambda: loaded, wanted)
    config = loaded.config.model_copy(
        update={"vault": _by_operator(loaded.config.vault), "storages": (), "lease": None}
    )
    check_to_run(config, os.environ, loaded.place)
    cluster = Cluster(config.vault, config.run_on)

    async def work() -> None:
        origin = await choose(places, wanted)
        folder = spool_folder(config, os.environ)
        async with fetched(origin, folder) as got:
            output.talk(f"Verified: {origin.label} is whole.")
            leader = await in_thread(cluster.found)
            await _confirm(got, leader, yes=yes, force=force)
            back = await restore(cluster, leader, got.spool.path, force=force)
        _tell(got, back)

    wait_for(work)
    return 0


def _by_operator(settings: VaultSettings) -> VaultSettings:
    """Prefer the operator's own token: the agent's may read snapshots, not write them."""
    token = environment_token(os.environ)
    if token is None:
        return settings
    return settings.model_copy(update={"auth": TokenAuth(method="token", token=token)})


async def _confirm(got: Fetched, leader: Leader, *, yes: bool, force: bool) -> None:
    """Say what will happen and ask.

    Raises:
        ConfigError: The answer was no.
    """
    output.talk(_question(got, leader))
    ours, theirs = leader.identity.cluster_id, got.manifest.cluster_id if got.manifest else ""
    if theirs and ours != theirs and not force:
        raise ConfigError(
            f"the snapshot is of another cluster ({theirs}, this is {ours})",
            hint=BY_FORCE,
        )
    if force:
        output.talk("--force: the servers will seal; have the snapshot's unseal keys at hand.")
    if yes:
        return
    sys.stderr.write("Type yes to replace everything the cluster holds now: ")
    sys.stderr.flush()
    await anyio.wait_readable(sys.stdin)  # a blocking read would be deaf to Ctrl-C
    if sys.stdin.readline().strip() != "yes":
        raise ConfigError("not restored", hint="nothing was changed")


def _question(got: Fetched, leader: Leader) -> str:
    name = leader.identity.cluster_name or leader.identity.cluster_id or leader.node.address
    return (
        f"Cluster {name} at {leader.node.address}, now at index {leader.committed_index},"
        f" goes back to index {got.snapshot.meta.index}{_taken(got.manifest)}."
    )


def _taken(manifest: Manifest | None) -> str:
    if manifest is None:
        return ""
    try:
        then = datetime.fromisoformat(manifest.taken_at).astimezone(UTC)
    except ValueError:  # somebody else wrote it
        return ""
    return f", taken {output.moment(then)} ({output.age(then, datetime.now(UTC))} ago)"


def _tell(got: Fetched, back: Leader | None) -> None:
    if back is None:
        output.talk(
            "Restored; the cluster is sealed now. Restart every node, then unseal it with the"
            " keys of the cluster the snapshot was taken from."
        )
        return
    output.talk(
        f"Restored index {got.snapshot.meta.index}: {back.node.address} leads again"
        f" at index {back.committed_index}."
    )
