"""Log in with an AppRole.

Source: https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.auth.base import Login, login_path


class AppRoleAuth(Settings):
    """Role ID and secret ID; a role without `bind_secret_id` needs no secret ID."""

    advice: ClassVar = (
        "check role_id, secret_id and mount; a secret ID may have expired or be used up"
    )

    method: Literal["approle"]
    mount: str = "approle"
    role_id: Secret
    secret_id: Secret | None = None

    def login(self) -> Login:
        body = {"role_id": self.role_id.resolve()}
        if self.secret_id is not None:
            body["secret_id"] = self.secret_id.resolve()
        return Login(login_path(self.mount), body)
