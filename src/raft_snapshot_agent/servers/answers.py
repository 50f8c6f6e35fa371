"""Answers of a throw-away server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from raft_snapshot_agent.core.foreign_json import Number, read_json


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """Answer of a node."""

    status: int
    document: Any
    """The parsed JSON; `None` if the answer was empty or not JSON."""

    @classmethod
    def read(cls, status: int, body: bytes) -> Self:
        try:
            return cls(status, read_json(body, parse_float=Number))
        except ValueError:
            return cls(status, None)

    @property
    def errors(self) -> str:
        """The error texts of the answer."""
        if not isinstance(self.document, dict):
            return "no reason given"
        return "; ".join(self.document.get("errors") or ()) or "no reason given"


@dataclass(frozen=True, slots=True)
class Initialised:
    """Keys and root token from `sys/init`."""

    unseal_keys: tuple[str, ...] = field(repr=False)
    root_token: str = field(repr=False)
