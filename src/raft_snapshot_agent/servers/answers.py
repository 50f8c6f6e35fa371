"""What a throw-away server said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from raft_snapshot_agent.core.foreign_json import read_json


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said."""

    status: int
    document: Any
    """The parsed JSON, or nothing where the answer was empty or not JSON."""

    @classmethod
    def read(cls, status: int, body: bytes) -> Self:
        try:
            return cls(status, read_json(body))
        except ValueError:
            return cls(status, None)

    @property
    def errors(self) -> str:
        """What it complains of."""
        if not isinstance(self.document, dict):
            return "no reason given"
        return "; ".join(self.document.get("errors") or ()) or "no reason given"


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `sys/init` hands out, once."""

    unseal_keys: tuple[str, ...] = field(repr=False)
    root_token: str = field(repr=False)
