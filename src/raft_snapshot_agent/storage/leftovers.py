"""What a crashed run may leave behind: half-written things under names of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.snapshots.naming import AGENT, Naming, parse, snapshot_name

_STALE = timedelta(hours=24)
"""Nothing that was not touched for so long is still being written."""
_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Tells what a sweep may remove."""

    dead_runs: frozenset[str] = frozenset()
    """IDs of runs known to be dead, as they stand in the names."""
    naming: Naming = AGENT
    static_name: str | None = None

    def is_ours(self, name: str) -> bool:
        """Tell whether a snapshot of ours, or what lies beside one, has this name."""
        snapshot = snapshot_name(name)
        return snapshot == self.static_name or parse(snapshot, self.naming) is not None

    def is_abandoned(self, name: str, touched: datetime | None, now: datetime) -> bool:
        """Tell whether nobody will finish what was to become `name`.

        Arguments:
            name: Of a snapshot or of what lies beside one, perhaps not ours.
            touched: When it was last written to, if the storage tells.
            now: The present time.
        """
        if not self.is_ours(name):
            return False
        parsed = parse(snapshot_name(name), self.naming)
        if parsed is not None and parsed.run_id in self.dead_runs:
            return True
        return touched is not None and now - touched > _STALE


def fresh_partial(name: str) -> str:
    """Name a hidden file that is to become `name`, unlike any other writer's."""
    import secrets

    return f".{name}.{secrets.token_hex(4)}{_SUFFIX}"


def target_of_fresh(hidden: str) -> str | None:
    """Return what a name made by `fresh_partial` is to become; `None` where it is none."""
    if not (hidden.startswith(".") and hidden.endswith(_SUFFIX)):
        return None
    name, dot, token = hidden[1:].removesuffix(_SUFFIX).rpartition(".")
    return name if dot and len(token) == 8 and set(token) <= set("0123456789abcdef") else None
