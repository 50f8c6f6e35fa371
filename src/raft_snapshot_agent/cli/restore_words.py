"""The messages of `restore`: before the confirmation, and at the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.restore.aftermath import Aftermath
from raft_snapshot_agent.restore.fetching import Fetched
from raft_snapshot_agent.restore.safety import SafetySnapshot
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.target import Target, describe_members
from raft_snapshot_agent.vault.leader import Leader

_LOGINS = "Tokens and logins are those of the cluster the snapshot was taken from"


def describe_plan(
    got: Fetched, target: Target, safety: SafetySnapshot | None, *, force: bool
) -> Iterator[str]:
    """Return what the restore will do, one line each."""
    leader = target.leader
    yield (
        f"Replaces the data of cluster {target.name} at {leader.node.address} (index"
        f" {leader.applied_index}) with the snapshot{_describe_age(got.manifest)} (index"
        f" {got.snapshot.meta.index}). What was written since is lost: secrets, policies,"
        " tokens, and secret IDs or passwords that logins need."
    )
    yield f"Nodes: {describe_members(target.states)}."
    if target.unknown:
        yield (
            f"The addresses of {target.unknown} more of the cluster's nodes are not known now: they"
            " are neither waited for nor unsealed. To include them, list them in vault.nodes."
        )
    if safety is None:
        yield "Safety snapshot: none, the restore cannot be undone."
    else:
        held = "" if not safety.held_by else ", held against retention"
        yield (
            f"Safety snapshot: {safety.name} (index {safety.index}) in"
            f" {', '.join(safety.places)}{held}."
        )
    if force:
        yield f"--force: {_describe_force(target.find_seals(got))}."


def _describe_force(seals: Seals) -> str:
    """Describe what opens the servers afterwards."""
    seal = seals.snapshot
    if seal is None:
        return "the servers will seal; have the snapshot's unseal keys at hand"
    if not seal.is_shared:
        return (
            f"the servers will seal, unless they use the snapshot's seal ({seal.kind}) with the"
            " same key; have both for their configuration at hand"
        )
    keys = f"have the snapshot's unseal keys ({seal.threshold} of {seal.shares}) at hand"
    if not seals.differ:
        return f"the servers will seal; {keys}"
    return (
        f"the servers will seal, at the latest when they are restarted; {keys}, and remove their"
        f" seal ({seals.present}) from their configuration before that, for the snapshot's cluster"
        " has none"
    )


def _describe_age(manifest: Manifest | None) -> str:
    if manifest is None:
        return ""
    try:
        then = datetime.fromisoformat(manifest.taken_at).astimezone(UTC)
    except (ValueError, OverflowError):  # invalid, as another program wrote it
        return ""
    now = datetime.now(UTC)
    age = "dated in the future" if output.is_ahead(then, now) else f"{output.age(then, now)} old"
    return f" of {output.moment(then)}, {age}"


def describe_end(
    got: Fetched, back: Leader | None, after: Aftermath, *, force: bool
) -> Iterator[str]:
    """Return the result, and what to do with each node, one line each."""
    if back is not None:
        yield (
            f"Restored the snapshot of index {got.snapshot.meta.index}. {back.node.address} leads;"
            f" the Raft index continues from its value before the restore and is"
            f" {back.applied_index} now."
        )
        if force:
            yield f"{_LOGINS}."
    elif after.is_served:
        yield f"Restored and unsealed. {_LOGINS}."
    else:
        yield f"Restored; {_describe_unserved(after)}"
    for state in after.states:
        yield f"{state.address}: {state.condition}: {after.next_step(state)}."


def _describe_unserved(after: Aftermath) -> str:
    """Describe a cluster without a leader, and how it gets one."""
    if not after.has_sealed:
        return "no node leads yet: see below."
    seal = after.seals.snapshot
    if seal is not None and not seal.is_shared:
        return (
            f"the cluster is sealed now. Give every node the snapshot's seal ({seal.kind}) and its"
            " key in its configuration, then restart it: it unseals itself."
            f" {_LOGINS}; then run doctor."
        )
    first = "Restart every node"
    if after.seals.differ:
        former = after.seals.present
        first = f"Remove the seal ({former}) from the configuration of every node and restart it"
    return (
        f"the cluster is sealed now. {first}, then unseal it with the keys of the cluster the"
        " snapshot was taken from. Tokens and logins are that cluster's as well; then run doctor."
    )


def describe_undo(
    safety: SafetySnapshot, source: Path | None, cluster: str | None, *, force: bool
) -> str:
    """Return the command that undoes the restore.

    Only force undoes what was done by force: the cluster may have another's keys now, which its
    own snapshot does not fit.
    """
    words = ["raft-snapshot-agent", "restore", safety.name]
    words += ["--force"] if force else []
    words += [] if source is None else ["--config", str(source.absolute())]
    words += [] if cluster is None else ["--cluster", cluster]
    how = (
        " (when the cluster is unsealed, with a token of the snapshot's cluster; then unseal it as"
        " before this restore)"
    )
    return f"To undo: {shlex.join(words)}{how if force else ''}"
