"""The safety snapshot of the data that a restore replaces: stored, verified and held before it.

It causes no deletion and no alarm, as the cluster may be the one that was wiped, and the guard
compares nothing with it. Its manifest says what it is, so that it never counts as the latest, held
or not: a repeated `restore --latest` restores the same snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY, Sidecar
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, Denied, ServerError, StorageError
from raft_snapshot_agent.restore.safety_marks import HELD_AS
from raft_snapshot_agent.storage.local.local import LocalStorage

WITHOUT = (
    "fix the cause and run restore again; with --no-safety no safety snapshot is taken, and the"
    " restore cannot be undone"
)
OpenAgent = Callable[[Sequence[Destination]], Agent]


@dataclass(frozen=True, slots=True)
class SafetySnapshot:
    """A safety snapshot, and what is needed to restore it."""

    name: str
    """Its name or the path of its file, as commands accept it."""
    index: int
    places: tuple[str, ...]
    held_by: tuple[Destination, ...] = ()
    warnings: tuple[str, ...] = ()

    async def release_hold(self) -> None:
        """Release the hold, as nothing was replaced."""
        for destination in self.held_by:
            try:
                await destination.unmark(self.name, Sidecar.HOLD)
            except StorageError:
                continue  # it stays held, which `list` shows


async def take_safety_snapshot(
    agents: Iterable[OpenAgent],
    destinations: Sequence[Destination],
    cluster_id: str,
    folder: Path,
) -> SafetySnapshot:
    """Store and hold a snapshot of a cluster in its storages, else in a file.

    Arguments:
        agents: Build an agent for storages; if a login is refused, the next one is tried.
        destinations: The configured storages.
        cluster_id: The cluster to restore.
        folder: The folder of the file, if no storage can take it.

    Raises:
        AgentError: The snapshot could not be stored.
    """
    chosen, warnings = await _choose(destinations, cluster_id)
    in_file = not chosen
    if in_file:
        chosen = [Destination("file", LocalStorage(folder), prunes=False)]
    report = await _run(agents, chosen)
    good = [one for one in report.deliveries if one.error is None]
    warnings += [f"{one.storage}: {one.error}" for one in report.deliveries if one.error]
    warnings += [f"{one.storage}: {why}" for one in good for why in one.warnings]
    if not good or report.snapshot is None:
        raise StorageError(
            f"no safety snapshot could be stored: {'; '.join(warnings)}", hint=WITHOUT
        )
    places = tuple(one.storage for one in good)
    index = report.snapshot.meta.index
    if in_file:
        return SafetySnapshot(good[0].location, index, places, warnings=tuple(warnings))
    name, held = good[0].name, []
    for destination in chosen:
        if destination.name in places:
            try:
                await destination.mark(name, Sidecar.HOLD, HELD_AS)
                held.append(destination)
            except StorageError as error:
                warnings.append(f"{destination.name}: it is not held, and may be pruned: {error}")
    return SafetySnapshot(name, index, places, tuple(held), tuple(warnings))


async def _run(agents: Iterable[OpenAgent], chosen: Sequence[Destination]) -> Report:
    refused: AgentError | None = None
    for open_agent in agents:
        report = await open_agent([_adding(one) for one in chosen]).run_and_leave()
        if report.error is None:
            return report
        refused = refused or report.error
        if not isinstance(report.error, Denied):
            break
    reason = refused.message if refused else "no login succeeded"
    raise ServerError(f"no safety snapshot could be taken: {reason}", hint=WITHOUT) from refused


async def _choose(
    destinations: Sequence[Destination], cluster_id: str
) -> tuple[list[Destination], list[str]]:
    """Choose the storages of this cluster in which nothing would be replaced."""
    chosen, warnings = [], []
    for destination in destinations:
        if why := await _why_not(destination, cluster_id):
            warnings.append(f"{destination.name}: not used: {why}")
        else:
            chosen.append(destination)
    return chosen, warnings


async def _why_not(destination: Destination, cluster_id: str) -> str:
    """Return why a storage cannot be used; empty if it can."""
    if destination.static_name is not None:
        return f"a new snapshot replaces {destination.static_name}"
    try:
        stored = await destination.stored()
        newest = next((one for one in stored if one.verified and one.is_counted), None)
        manifest = newest and await destination.manifest(newest.name)
    except StorageError:
        return ""  # the delivery reports it
    run = destination.naming.run(datetime.now(UTC), "0" * 16)
    name = destination.naming.name(run, 0)
    if any(one.name == name for one in stored):
        return f"it would replace {name}: try again in a minute"
    if manifest and manifest.cluster_id and cluster_id not in {"", manifest.cluster_id}:
        return "it keeps another cluster's snapshots"
    return ""


def _adding(destination: Destination) -> Destination:
    """Return a storage without retention and guard, for a safety snapshot."""
    return replace(destination, retention=Retention(), purpose=SAFETY)
