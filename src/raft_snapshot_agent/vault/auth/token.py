"""Use an existing token."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.secret import Secret

_POSSIBLE = re.compile(r"""[!#-&(-~]+""")
"""Printable ASCII without blanks and quotes."""


class TokenAuth(Settings):
    """A token, or a reference to one, such as a file that another agent refreshes."""

    advice: ClassVar = "give a valid token"
    counted: ClassVar = False

    method: Literal["token"]
    token: Secret

    def login(self) -> str:
        token = self.token.resolve()
        if token and _POSSIBLE.fullmatch(token):
            return token
        raise ConfigError(
            f"the token in {self._source} is {'not one' if token else 'empty'}",
            hint="it must be the token and nothing else: no quotes, blanks or invisible characters",
        )

    @property
    def _source(self) -> str:
        return self.token.reference if self.token.is_reference else "vault.auth"
