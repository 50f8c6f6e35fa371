"""Log in with a user name and password of an LDAP directory.

Source: https://developer.hashicorp.com/vault/api-docs/auth/ldap
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.vault.auth.base import Mount
from raft_snapshot_agent.vault.auth.password import PasswordAuth


class LdapAuth(PasswordAuth):
    """A user of an LDAP directory."""

    advice: ClassVar = "check username, password, mount and the groups it must be in"

    method: Literal["ldap"]
    mount: Mount = "ldap"
