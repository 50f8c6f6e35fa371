"""Log in with a Kubernetes service account's token.

Source: https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path

_SERVICE_ACCOUNT = Secret("file:///var/run/secrets/kubernetes.io/serviceaccount/token")


class KubernetesAuth(Settings):
    """Login with a projected token, which is read at each login because it rotates."""

    advice: ClassVar = "check role, mount and the service account the role is bound to"
    counted: ClassVar = False

    method: Literal["kubernetes"]
    mount: Mount = "kubernetes"
    role: Plain
    jwt: Secret = _SERVICE_ACCOUNT

    def login(self) -> Login:
        body = {"role": self.role.resolve(), "jwt": self.jwt.resolve()}
        return Login(login_path(self.mount), body)
