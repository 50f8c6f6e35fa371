"""A token's lifetime and remaining uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.vault.answers import Answer

_MOST = 2.0**53
"""Largest plausible number of seconds or uses."""
_IN_A_NAMESPACE = re.compile(r"(?:hv[sb]|[sb])\.[\w-]+\.\w+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its lifetime, in seconds of the monotonic clock."""

    value: str = field(repr=False)
    granted: float
    """Time before the request, so that the token never expires earlier than assumed."""
    ttl: float
    """Lifetime; zero if it never expires or is renewed by another program."""
    renewable: bool = False
    ours: bool = False
    """Whether this session created it, and therefore renews and revokes it."""
    tried: float | None = None
    """When the last renewal failed without an answer."""
    uses: int | None = None
    """Number of remaining requests; `None` if unlimited."""

    @property
    def renew_at(self) -> float:
        """When to renew: at two thirds of its lifetime; after a failure, half-way to its end."""
        if self.tried is not None:
            return (self.tried + self.ends_at) / 2
        return self.granted + self.ttl * 2 / 3 if self.ttl else float("inf")

    @property
    def ends_at(self) -> float:
        return self.granted + self.ttl if self.ttl else float("inf")

    def dead(self, now: float) -> bool:
        """Return whether the token has expired."""
        return self.uses == 0 or now >= self.ends_at

    def worn(self, now: float, lasting: float) -> bool:
        """Return whether the token could expire during the work and is worth renewing."""
        return now >= self.granted + self.ttl / 3 and self.ends_at < now + lasting


def parse_token(answer: Answer, now: float) -> Token | None:
    """Return the token in the answer to a login or renewal; `None` if it has none."""
    auth = answer.body.get("auth")
    if answer.status != 200 or not isinstance(auth, dict) or not auth.get("client_token"):
        return None
    remember(str(auth["client_token"]))
    return Token(
        value=str(auth["client_token"]),
        granted=now,
        ttl=_number(auth.get("lease_duration")),
        renewable=auth.get("renewable") is True and not auth.get("num_uses"),
        ours=True,
        uses=int(_number(auth.get("num_uses"))) or None,
    )


def _number(said: object) -> float:
    """Parse a number from the server; zero if it is invalid or implausible."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return 0.0
    return float(said) if 0 <= said <= _MOST else 0.0


def in_namespace(token: str) -> bool:
    """Return whether a token was created in a namespace, by its suffix."""
    return _IN_A_NAMESPACE.fullmatch(token) is not None
