"""The token of a login."""

from __future__ import annotations

from dataclasses import dataclass, field

from raft_snapshot_agent.redaction import remember

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


@dataclass(frozen=True, slots=True)
class GcsToken:
    """A token for requests to the store."""

    text: str = field(repr=False)
    seconds: float
    """Lifetime in seconds, from when it was received."""

    def __post_init__(self) -> None:
        remember(self.text)
