"""Log in with a JWT of any issuer the server trusts.

Source: https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path


class JwtAuth(Settings):
    """Login with a JWT, which is read at each login because it expires soon."""

    advice: ClassVar = "check role and mount, the audience of the JWT, and that it has not expired"
    counted: ClassVar = False

    method: Literal["jwt"]
    mount: Mount = "jwt"
    role: Plain
    jwt: Secret

    def login(self) -> Login:
        body = {"role": self.role.resolve(), "jwt": self.jwt.resolve()}
        return Login(login_path(self.mount), body)
