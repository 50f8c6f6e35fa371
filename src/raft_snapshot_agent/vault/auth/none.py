"""Send no token, because an agent or proxy on this host adds one."""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings


class NoAuth(Settings):
    """No login: a Vault Agent, Vault Proxy or OpenBao Agent adds a token by auto-auth."""

    advice: ClassVar = "check the auto-auth of the agent or proxy at vault.address"
    counted: ClassVar = False

    method: Literal["none"]

    def login(self) -> str:
        return ""
