"""Log in with a Kubernetes service account's token.

Source: https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
"""

from __future__ import annotations

from typing import Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.auth.base import Login, login_path

_SERVICE_ACCOUNT = Secret("file:///var/run/secrets/kubernetes.io/serviceaccount/token")


class KubernetesAuth(Settings):
    """A role and a projected token, which rotates and so is read anew at each login."""

    method: Literal["kubernetes"]
    mount: str = "kubernetes"
    role: str
    jwt: Secret = _SERVICE_ACCOUNT

    def login(self) -> Login:
        return Login(login_path(self.mount), {"role": self.role, "jwt": self.jwt.resolve()})
