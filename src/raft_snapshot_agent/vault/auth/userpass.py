"""Log in with a user name and a password that the server keeps.

Source: https://developer.hashicorp.com/vault/api-docs/auth/userpass
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, password_login


class UserpassAuth(Settings):
    """A user of the server's own."""

    advice: ClassVar = "check username, password and mount; too many tries lock a user out"
    counted: ClassVar = True

    method: Literal["userpass"]
    mount: str = "userpass"
    username: Plain
    password: Secret

    def login(self) -> Login:
        return password_login(self.mount, self.username, self.password)
