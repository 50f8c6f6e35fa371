"""The cluster to restore, and the checks before a restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raft_snapshot_agent.core.release import is_older
from raft_snapshot_agent.errors import ConfigError, Denied
from raft_snapshot_agent.restore.fetching import Fetched
from raft_snapshot_agent.restore.members import Members, MemberState, find_reported
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.sending import BY_FORCE
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.answers import SNAPSHOT_PATH
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster before a restore."""

    leader: Leader
    members: Members
    states: tuple[MemberState, ...]
    unknown: int = 0
    """How many of its servers are not among the members, as nobody tells their addresses."""

    @property
    def name(self) -> str:
        """Its name for operators."""
        identity = self.leader.identity
        return identity.cluster_name or identity.cluster_id or self.leader.node.address

    def find_seals(self, got: Fetched) -> Seals:
        """Return the seal of a snapshot beside that of this cluster."""
        return Seals(got.clear.seal, self.leader.identity.seal)


async def look_at_target(cluster: Cluster, settings: VaultSettings) -> Target:
    """Find the leader of a cluster and the states of its nodes.

    Nodes that do not answer now are not waited for later.

    Raises:
        AgentError: There is no leader that can accept a snapshot.
    """
    leader = await in_thread(cluster.find_leader, abandon=True)
    told = await find_reported(cluster, leader)
    members = Members(settings, (leader.node.address, *told.addresses))
    unknown = told.servers - max(1, len(told.addresses), len(settings.addresses))
    return Target(leader, members, await members.look(), max(0, unknown))


def require_right(cluster: Cluster, leader: Leader, *, force: bool) -> None:
    """Refuse a token that may not restore, before anything is prepared.

    What the server does not tell is not refused: then the restore itself finds out.

    Source: the API page of `sys/capabilities-self`.

    Raises:
        Denied: The token has no permission, or is not valid.
        ServerError: The login failed, or there was no answer.
    """
    node, path = leader.node, f"{SNAPSHOT_PATH}-force" if force else SNAPSHOT_PATH
    token = cluster.session.token(node)
    answer = node.call("POST", "sys/capabilities-self", token=token, body={"paths": [path]})
    data = answer.body.get("data")
    told = data.get(path) if isinstance(data, dict) else None
    if isinstance(told, list) and not {"update", "root"} & {*map(str, told)}:
        raise Denied(
            f"permission denied: the token needs update on {path} at {node.address}; nothing was"
            " changed",
            hint="give one that has it in VAULT_TOKEN",
        )
    if answer.status != 403:
        return
    answer = node.try_token(token)
    if answer.status == 403:
        raise Denied(
            f"{node.address} does not know the token: it has expired, or belongs to another"
            f" cluster ({answer.told}); nothing was changed",
            hint="give another in VAULT_TOKEN",
        )


def require_fit(target: Target, got: Fetched, *, force: bool) -> None:
    """Refuse a snapshot that the cluster cannot read, or that is of another cluster.

    Raises:
        ConfigError: It does not fit.
    """
    _require_version(target, got)
    ours = target.leader.identity.cluster_id
    theirs = got.manifest.cluster_id if got.manifest else ""
    if theirs and ours != theirs and not force:
        raise ConfigError(
            f"the snapshot is of another cluster ({theirs}, this is {ours})", hint=BY_FORCE
        )


def _require_version(target: Target, got: Fetched) -> None:
    product = got.manifest.product if got.manifest else ""
    nodes = [(target.leader.node.address, target.leader.identity)]
    nodes += [(one.address, one.identity) for one in target.states]
    for address, identity in nodes:
        if product and identity.product and product != identity.product:
            continue  # not comparable
        if is_older(identity.version, got.version):
            raise ConfigError(
                f"{address} runs version {identity.version}, and the snapshot was taken from"
                f" {got.version}: a server reads nothing that a newer one wrote",
                hint=f"upgrade every node to {got.version} or newer, then restore",
            )


def describe_members(states: Sequence[MemberState]) -> str:
    """Describe the nodes and their states on one line."""
    return ", ".join(
        f"{one.address} ({one.condition}"
        + (f", {one.identity.version})" if one.identity.version else ")")
        for one in states
    )
