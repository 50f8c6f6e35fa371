"""`restore`: asks first, then puts a snapshot back and waits until the cluster is back."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio

from raft_snapshot_agent.backup.agent import Destination
from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.doctor import doctor
from raft_snapshot_agent.cli.operator import by_hand
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.stored import destinations_for
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.core.notes import Restored
from raft_snapshot_agent.core.snapshot import Manifest
from raft_snapshot_agent.errors import AgentError, ConfigError, Denied
from raft_snapshot_agent.restore.reader import choose
from raft_snapshot_agent.restore.restore import BY_FORCE, Fetched, fetch_copy, restore
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.uptime import instant
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings, environment_token


def restore_snapshot(loaded: Loaded, wanted: str | None, *, yes: bool, force: bool) -> int:
    """Restore a snapshot into the configured cluster; return the exit code."""
    if not (yes or output.is_terminal(sys.stdin)):
        raise ConfigError("no terminal to confirm the restore at", hint="give --yes")
    agents, loaded = loaded, by_hand(loaded, os.environ)
    destinations = destinations_for(lambda: loaded, wanted)
    everywhere = assembly.destinations(loaded.config) if loaded.config.storages else ()
    config = loaded.config.model_copy(
        update={"vault": _by_operator(loaded.config.vault), "storages": (), "lease": None}
    )
    check_to_run(config, os.environ, loaded.position)
    cluster = Cluster(config.vault, config.run_on)

    async def work() -> bool:
        reader = await choose(destinations, wanted)
        folder = spool_folder(config, os.environ)
        async with fetch_copy(reader, folder) as got:
            output.talk(f"Verified: {reader.label} is whole. Proof: {await reader.proof()}.")
            leader = await in_thread(cluster.find_leader)
            await _confirm(got, leader, yes=yes, force=force)
            await _leave_word(everywhere, got, reader.label)
            try:
                back = await restore(cluster, leader, got.spool.path, force=force)
            except Denied:  # nothing was replaced
                await _take_back(everywhere)
                raise
        _tell(got, back)
        return back is not None

    if wait_for(work):
        output.talk("What the agent finds now, with its own login:")
        doctor(agents, Format.TABLE)
    return 0


async def _leave_word(destinations: Sequence[Destination], got: Fetched, label: str) -> None:
    """Note the restore beside the snapshots, so that the next one raises no alarm.

    Before the restore, for an agent may take one as soon as it is done.
    """
    now = instant()
    restored = Restored(
        snapshot=Path(label).name,
        at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        cluster_id=got.manifest.cluster_id if got.manifest else "",
        index=got.snapshot.meta.index,
        size=got.snapshot.size,
        clock=now.clock,
        uptime=now.seconds,
    )
    for destination in destinations:
        try:
            if destination.prunes:
                await destination.expect(restored)
        except AgentError as error:
            output.talk(
                f"warning: {destination.name}: the restore is not noted there: {error}."
                " If the next snapshot raises an alarm: prune --acknowledge"
            )


async def _take_back(destinations: Sequence[Destination]) -> None:
    """Remove the note of a restore that was refused: the next snapshot does not follow on it."""
    for destination in destinations:
        try:
            if destination.prunes:
                await destination.expect_nothing()
        except AgentError as error:
            output.talk(
                f"warning: {destination.name}: the note of the restore stays there: {error}"
            )


def _by_operator(settings: VaultSettings) -> VaultSettings:
    """Prefer the operator's own token: the agent's may read snapshots, not write them."""
    token = environment_token(os.environ)
    if token is None:
        return settings
    return settings.model_copy(update={"auth": TokenAuth(method="token", token=token)})


async def _confirm(got: Fetched, leader: Leader, *, yes: bool, force: bool) -> None:
    """Print what will happen and ask for confirmation.

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
        f"Replaces the data of cluster {name} at {leader.node.address} (index"
        f" {leader.applied_index}) with the snapshot{_describe_age(got.manifest)} (index"
        f" {got.snapshot.meta.index}). What was written since is lost: secrets, policies,"
        " tokens, and secret IDs or passwords that logins need."
    )


def _describe_age(manifest: Manifest | None) -> str:
    if manifest is None:
        return ""
    try:
        then = datetime.fromisoformat(manifest.taken_at).astimezone(UTC)
    except (ValueError, OverflowError):  # somebody else wrote it
        return ""
    return f" of {output.moment(then)}, {output.age(then, datetime.now(UTC))} old"


def _tell(got: Fetched, back: Leader | None) -> None:
    if back is None:
        output.talk(
            "Restored; the cluster is sealed now. Restart every node, then unseal it with the"
            " keys of the cluster the snapshot was taken from. Tokens and logins are that"
            " cluster's as well; then run doctor."
        )
        return
    output.talk(
        f"Restored the snapshot of index {got.snapshot.meta.index}. {back.node.address} leads;"
        f" its Raft index counts on from before and is {back.applied_index} now."
    )
