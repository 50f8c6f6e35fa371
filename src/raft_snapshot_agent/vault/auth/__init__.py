"""The ways to log in, one line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.kubernetes import KubernetesAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth

AnyAuth = Annotated[AppRoleAuth | KubernetesAuth | TokenAuth, Field(discriminator="method")]

__all__ = ["AnyAuth", "AppRoleAuth", "KubernetesAuth", "TokenAuth"]
