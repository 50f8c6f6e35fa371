"""Delays a login that was refused, because too many refusals lock out the user or role.

Source: https://developer.hashicorp.com/vault/docs/concepts/user-lockout (five tries within 15
minutes by default, for userpass, ldap and approle).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from raft_snapshot_agent.errors import Denied
from raft_snapshot_agent.vault.auth.base import Login

_PAUSES = (60.0, 240.0, 960.0)
"""Seconds after the first, second and later refusals; the last exceeds the lockout counter."""


@dataclass(frozen=True, slots=True)
class LoginBackoff:
    """A refused login, the number of consecutive refusals, and when it may be sent again."""

    login: Login
    error: Denied
    until: float
    count: int = 1

    @classmethod
    def now(
        cls, login: Login, error: Denied, clock: float, before: LoginBackoff | None
    ) -> LoginBackoff:
        """Record a refusal; a login with other credentials restarts the count."""
        count = before.count + 1 if before is not None and before.login == login else 1
        pause = _PAUSES[min(count, len(_PAUSES)) - 1]
        jitter = 1 + random.random() / 10  # noqa: S311 - no secret
        error.pause = pause * jitter
        return cls(login, error, clock + error.pause, count)

    def check(self, login: Login, clock: float) -> None:
        """Raise if the same login was refused and the pause has not ended.

        Raises:
            Denied: The server's text, and the rest of the pause.
        """
        if login == self.login and clock < self.until:
            left = self.until - clock
            error = Denied(
                f"{self.error.message}; login paused for {left:.0f} s to avoid a lockout",
                hint=self.error.hint,
            )
            error.pause = left
            raise error
