"""Log in with a user name and a password that a directory keeps.

Source: https://developer.hashicorp.com/vault/api-docs/auth/ldap
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, password_login


class LdapAuth(Settings):
    """A user of an LDAP directory."""

    advice: ClassVar = "check username, password, mount and the groups it must be in"
    counted: ClassVar = True

    method: Literal["ldap"]
    mount: str = "ldap"
    username: Plain
    password: Secret

    def login(self) -> Login:
        return password_login(self.mount, self.username, self.password)
