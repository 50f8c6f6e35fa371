"""Changes between two snapshots: keys by mount, as counted in their manifests."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.snapshot_file.mount_counts import MountCounts, Tally
from raft_snapshot_agent.core.state.status import ClusterStatus, RunSummary
from raft_snapshot_agent.web.page import words

MOST = 40
"""Maximum mounts that are listed: those that changed most."""


@dataclass(frozen=True, slots=True)
class CountedRun:
    """A run whose snapshot can be compared."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class MountChange:
    """One mount that changed."""

    path: str
    before: str
    after: str
    keys: str
    size: str
    tone: str


@dataclass(frozen=True, slots=True)
class MountChanges:
    """Two snapshots and their differences."""

    choices: tuple[CountedRun, ...]
    """Newest first."""
    before: str
    after: str
    rows: tuple[MountChange, ...]
    summary: str


def compare_runs(cluster: ClusterStatus, before: str, after: str) -> MountChanges | None:
    """Return the changes from one snapshot to another; `None` if there are fewer than two.

    Arguments:
        cluster: The status of the cluster.
        before: ID of the earlier run; any other text: the last but one.
        after: ID of the later run; any other text: the newest.
    """
    counted = [(one, found) for one in reversed(cluster.runs) if (found := _count(one))]
    if len(counted) < 2:
        return None
    known = {run.run_id: found for run, found in counted}
    earlier = before if before in known else counted[1][0].run_id
    later = after if after in known else counted[0][0].run_id
    pairs = _pair(known[earlier], known[later])
    changed = [(path, was, now) for path, (was, now) in pairs.items() if was != now]
    changed.sort(key=lambda one: -abs(one[2].keys - one[1].keys))
    added = sum(max(now.keys - was.keys, 0) for _, was, now in changed)
    lost = sum(max(was.keys - now.keys, 0) for _, was, now in changed)
    return MountChanges(
        tuple(CountedRun(run.run_id, words.clock(run.started_at)) for run, _ in counted),
        earlier,
        later,
        tuple(_tell(*one) for one in changed[:MOST]),
        f"{added:,} keys more, {lost:,} fewer, in {words.count(len(changed), 'mount')}"
        if changed
        else "no mount has more or fewer keys or bytes",
    )


def _count(run: RunSummary) -> MountCounts | None:
    text = "" if run.snapshot is None else run.snapshot.counts
    return MountCounts.from_text(text) if text else None


def _pair(before: MountCounts, after: MountCounts) -> dict[str, tuple[Tally, Tally]]:
    paths = dict.fromkeys((*before.mounts, *after.mounts))
    none = Tally()
    pairs = {one: (before.mounts.get(one, none), after.mounts.get(one, none)) for one in paths}
    return pairs | {"all others": (before.rest, after.rest)}


def _tell(path: str, before: Tally, after: Tally) -> MountChange:
    keys, size = after.keys - before.keys, after.size - before.size
    grown = "-" if size < 0 else "+"
    return MountChange(
        path,
        f"{before.keys:,}",
        f"{after.keys:,}",
        f"{keys:+,}",
        f"{grown}{format_size(abs(size))}",
        "bad" if before.keys and not after.keys else "",
    )
