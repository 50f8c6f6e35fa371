"""Log in with a user name and password stored in the server.

Source: https://developer.hashicorp.com/vault/api-docs/auth/userpass
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.vault.auth.base import Mount
from raft_snapshot_agent.vault.auth.password import PasswordAuth


class UserpassAuth(PasswordAuth):
    """A user of the userpass method."""

    advice: ClassVar = "check username, password and mount; too many tries lock a user out"

    method: Literal["userpass"]
    mount: Mount = "userpass"
