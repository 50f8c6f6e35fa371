"""Log in with a user name and password checked by a RADIUS server.

Source: https://developer.hashicorp.com/vault/api-docs/auth/radius
"""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.vault.auth.base import Mount
from raft_snapshot_agent.vault.auth.password import PasswordAuth


class RadiusAuth(PasswordAuth):
    """A user of a RADIUS server."""

    advice: ClassVar = "check username, password and mount, and that the server reaches RADIUS"

    method: Literal["radius"]
    mount: Mount = "radius"
