"""Recognises incomplete objects that a crashed run may leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.naming import AGENT, Naming, parse, snapshot_name

_STALE = timedelta(hours=24)
"""Age of the last write after which an object is no longer being written."""
_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Decides what a sweep may remove."""

    dead_runs: frozenset[str] = frozenset()
    """IDs of dead runs, as in the names."""
    naming: Naming = AGENT
    static_name: str | None = None

    def is_ours(self, name: str) -> bool:
        """Return whether this is the name of a snapshot of ours, or of a file beside one."""
        snapshot = snapshot_name(name)
        return snapshot == self.static_name or parse(snapshot, self.naming) is not None

    def is_abandoned(self, name: str, touched: datetime | None, now: datetime) -> bool:
        """Return whether the incomplete object for `name` will never be completed.

        Arguments:
            name: Name of a snapshot or of a file beside one; may be foreign.
            touched: When it was last written, if known.
            now: The present time.
        """
        if not self.is_ours(name):
            return False
        parsed = parse(snapshot_name(name), self.naming)
        if parsed is not None and parsed.run_id in self.dead_runs:
            return True
        return touched is not None and now - touched > _STALE


def fresh_partial(name: str) -> str:
    """Return a unique name for the hidden file that becomes `name`."""
    import secrets

    return f".{name}.{secrets.token_hex(4)}{_SUFFIX}"


def target_of_fresh(hidden: str) -> str | None:
    """Return the final name for a name made by `fresh_partial`; `None` for other names."""
    if not (hidden.startswith(".") and hidden.endswith(_SUFFIX)):
        return None
    name, dot, token = hidden[1:].removesuffix(_SUFFIX).rpartition(".")
    return name if dot and len(token) == 8 and set(token) <= set("0123456789abcdef") else None
