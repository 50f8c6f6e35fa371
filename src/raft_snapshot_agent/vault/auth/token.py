"""Use an existing token."""

from __future__ import annotations

from typing import ClassVar, Literal

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Secret


class TokenAuth(Settings):
    """A token, or a reference to one, such as a file that another agent refreshes."""

    advice: ClassVar = "give a valid token"
    counted: ClassVar = False

    method: Literal["token"]
    token: Secret

    def login(self) -> str:
        return self.token.resolve()
