"""Log in with the client certificate of `vault.tls`.

Source: https://developer.hashicorp.com/vault/api-docs/auth/cert#login-with-tls-certificate-method
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path


class CertAuth(Settings):
    """Login with the TLS client certificate, for a role or any role that accepts it."""

    advice: ClassVar = "check role, mount, vault.tls.client_cert and client_key"
    counted: ClassVar = False

    method: Literal["cert"]
    mount: Mount = "cert"
    role: Plain | None = None

    def login(self) -> Login:
        body = {} if self.role is None else {"name": self.role.resolve()}
        return Login(login_path(self.mount), body)
