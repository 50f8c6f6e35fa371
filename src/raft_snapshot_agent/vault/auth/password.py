"""Log in with a user name, which is part of the path, and a password."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path


class PasswordAuth(Settings):
    """Login with user name and password."""

    counted: ClassVar = True

    method: str
    mount: Mount
    username: Plain
    password: Secret

    def login(self) -> Login:
        name = quote(self.username.resolve(), safe="")
        return Login(f"{login_path(self.mount)}/{name}", {"password": self.password.resolve()})
