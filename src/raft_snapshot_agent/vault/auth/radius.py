"""Log in with a user name and a password that a RADIUS server checks.

Source: https://developer.hashicorp.com/vault/api-docs/auth/radius
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, password_login


class RadiusAuth(Settings):
    """A user of a RADIUS server."""

    advice: ClassVar = "check username, password and mount, and that the server reaches RADIUS"
    counted: ClassVar = True

    method: Literal["radius"]
    mount: str = "radius"
    username: Plain
    password: Secret

    def login(self) -> Login:
        return password_login(self.mount, self.username, self.password)
