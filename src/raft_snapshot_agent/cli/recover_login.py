"""Whose token `recover` writes with, and the leader that it writes to."""

from __future__ import annotations

import os

from raft_snapshot_agent.restore.recovery import Live
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.environment import environment_token
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings


def find_live(cluster: Cluster, login: str) -> Live:
    """Find the leader, and log in there."""
    leader = cluster.find_leader()
    return Live(leader.node, cluster.session.token(leader.node), login)


def choose_login(settings: VaultSettings) -> tuple[VaultSettings, str]:
    """Return the settings with the operator's token, else the agent's login, and its name."""
    token = environment_token(os.environ)
    if token is not None:
        name = "BAO_TOKEN" if "BAO_TOKEN" in os.environ else "VAULT_TOKEN"
        auth = TokenAuth(method="token", token=token)
        return settings.model_copy(update={"auth": auth}), f"the token in {name}"
    if isinstance(settings.auth, TokenAuth):
        given = settings.auth.token
        return settings, f"the token in {given.reference if given.is_reference else 'vault.auth'}"
    return settings, "the token that vault.auth gives"
