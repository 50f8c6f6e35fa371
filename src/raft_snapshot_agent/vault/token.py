"""What is known of a token: when it ends, and what it may still be used for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.vault.answers import Answer

_MOST = 2.0**53
"""More is no number of seconds or uses that a server means."""
_IN_A_NAMESPACE = re.compile(r"(?:hv[sb]|[sb])\.[\w-]+\.\w+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what is known of its life, in seconds of the monotonic clock."""

    value: str = field(repr=False)
    granted: float
    """Before the server was asked, so that it never ends earlier than we think."""
    ttl: float
    """Zero: it never ends, or somebody else looks after it."""
    renewable: bool = False
    ours: bool = False
    """Whether this session made it, and so may renew and must revoke it."""
    tried: float | None = None
    """When the last attempt to renew it got no answer."""
    uses: int | None = None
    """How many requests it is still good for; `None`: any number."""

    @property
    def renew_at(self) -> float:
        """Two thirds of its life; after an attempt without an answer, half-way to its end."""
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
        """Return whether work of that length could outlive the token, and it is worth renewing."""
        return now >= self.granted + self.ttl / 3 and self.ends_at < now + lasting


def parse_token(answer: Answer, now: float) -> Token | None:
    """Read the token in the answer to a login or a renewal, if it has one."""
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
    """Read a number of a server's; what is none, or none to count with, is zero."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return 0.0
    return float(said) if 0 <= said <= _MOST else 0.0


def in_namespace(token: str) -> bool:
    """Return whether a token was made in a namespace, which its suffix tells."""
    return _IN_A_NAMESPACE.fullmatch(token) is not None
