"""What a login yields."""

from __future__ import annotations

from dataclasses import dataclass, field

from raft_snapshot_agent.redaction import remember

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


@dataclass(frozen=True, slots=True)
class GcsToken:
    """What a request proves with whose it is."""

    text: str = field(repr=False)
    seconds: float
    """For how long it is good from when it was got."""

    def __post_init__(self) -> None:
        remember(self.text)
