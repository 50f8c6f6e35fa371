"""What a crashed run may leave behind: half-written things under names of ours."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.core.naming import AGENT, Naming, parse, snapshot_name


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

    def is_dead(self, name: str) -> bool:
        """Tell whether a run known to be dead gave this name."""
        parsed = parse(snapshot_name(name), self.naming)
        return parsed is not None and parsed.run_id in self.dead_runs
