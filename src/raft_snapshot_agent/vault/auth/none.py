"""Send no token: an agent or a proxy on this host adds its own."""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings


class NoAuth(Settings):
    """For a Vault Agent, Vault Proxy or OpenBao Agent with auto-auth, perhaps on a unix socket."""

    advice: ClassVar = "check the auto-auth of the agent or proxy at vault.address"
    counted: ClassVar = False

    method: Literal["none"]

    def login(self) -> str:
        return ""
