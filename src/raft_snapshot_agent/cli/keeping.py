"""`prune`, `hold` and `release`: which snapshots are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored
from raft_snapshot_agent.destination.deletion import Pruned
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    RetentionSuspended,
    SnapshotNotFound,
    StorageError,
)
from raft_snapshot_agent.service import assembly


@dataclass(frozen=True, slots=True)
class Wish:
    """The arguments of `prune`."""

    dry_run: bool = False
    acknowledge: bool = False
    """Accept the alarm: the operator confirms that the cluster is the right one. No deletion."""
    broken: bool = False
    """Delete every broken snapshot, however recently it was marked as broken."""
    everything: bool = False
    """Delete in one run what retention would spread over several."""

    @property
    def plans(self) -> bool:
        return self.dry_run or self.acknowledge


def prune(loaded: Loaded, only: str | None, wish: Wish, layout: Format) -> int:
    """Apply retention now and print why each snapshot is kept; return the exit code."""
    destinations = assembly.destinations(loaded.config, only, cluster=loaded.name)
    done: list[tuple[Destination, Pruned]] = []
    failed: dict[str, int] = {}

    async def work() -> None:
        for destination in destinations:
            if not destination.prunes:
                output.talk(f"{destination.name}: nothing is deleted: prune is false")
                continue
            try:
                if wish.acknowledge:
                    await _acknowledge(destination, dry_run=wish.dry_run)
                pruned = await destination.prune(
                    datetime.now(UTC),
                    dry_run=wish.plans,
                    acknowledged=wish.acknowledge,
                    broken=wish.broken,
                    everything=wish.everything,
                )
                done.append((destination, pruned))
            except AgentError as error:
                failed[destination.name] = error.exit_code
                output.talk(f"error: {destination.name}: {error}")

    wait_for(work)
    decisions = [one for place, pruned in done for one in _decisions(place, pruned, wish)]
    output.table(output.Rows(decisions, lambda one: one.row), layout)
    for destination, pruned in done:
        if code := _tell(destination, pruned, wish):
            failed[destination.name] = code
    return worst([*failed.values()], len(destinations))


def _tell(destination: Destination, pruned: Pruned, wish: Wish) -> int:
    """Print the result of one storage; return the exit code."""
    for warning in pruned.warnings:
        count = pruned.undeleted.get(warning, 1)
        more = f" ({count} snapshots)" if count > 1 else ""
        output.warn(f"{destination.name}: {warning}{more}")
    planned = pruned.plan
    if planned.refused:
        verb, count = "would be deleted otherwise", len(planned.withheld)
    elif wish.plans:
        verb = "would be deleted by the next prune" if wish.acknowledge else "would be deleted"
        count = len(planned.delete)
    else:
        verb, count = "deleted", len(pruned.deleted)
    gone = {*pruned.deleted, *(one.name for one in planned.withheld)}
    kept = [one for one in planned.keep if one.name not in gone]
    later = f" ({len(planned.postponed)} of them are deleted later)" if planned.postponed else ""
    again = f" ({pruned.reviews} of them read again, and deleted if broken)"
    later += again if pruned.reviews and wish.plans else ""
    undeleted = sum(pruned.undeleted.values())
    failed = f", {undeleted} could not be deleted" if undeleted else ""
    output.talk(f"{destination.name}: {len(kept)} kept{later}, {count} {verb}{failed}")
    if planned.refused:
        return RetentionSuspended.exit_code
    return StorageError.exit_code if pruned.undeleted else 0


@dataclass(frozen=True, slots=True)
class _Decision:
    """Whether one snapshot is kept or deleted, and why."""

    storage: str
    action: str
    stored: Stored
    why: str

    @property
    def row(self) -> dict[str, str]:
        return {
            "storage": self.storage,
            "action": self.action,
            "name": self.stored.name,
            "why": self.why,
        }


def _list_undeleted(pruned: Pruned, wish: Wish) -> Collection[Stored]:
    """List the snapshots that should have been deleted, and are still there."""
    if wish.plans or pruned.plan.refused:
        return ()
    deleted = {*pruned.deleted}
    return {one for one in pruned.plan.delete if one.name not in deleted}


def _decisions(destination: Destination, pruned: Pruned, wish: Wish) -> Iterator[_Decision]:
    planned, undeleted = pruned.plan, _list_undeleted(pruned, wish)
    name, aside = destination.name, {*planned.withheld, *planned.review}
    for one, why in planned.keep.items():
        if one not in aside:
            yield _Decision(name, "keep", one, ", ".join(why))
    for place, one in enumerate(planned.review):
        action, found = "review", "deleted if two more reads confirm it"
        if one.name in pruned.deleted:
            action, found = "delete", "two more reads confirmed it"
        elif place < pruned.reviews and not (wish.plans or planned.refused):
            action, found = "keep", "not deleted now: see the warning"
        yield _Decision(name, action, one, ", ".join((*planned.keep[one], found)))
    for one in planned.delete:
        rule = "beyond max_space" if one in planned.crowded_out else "no rule keeps it"
        if one in undeleted:
            yield _Decision(name, "keep", one, f"{rule}, but it could not be deleted")
        else:
            yield _Decision(name, "delete", one, rule)
    for one in planned.withheld:
        yield _Decision(name, "delete", one, "no rule keeps it; refused")


async def _acknowledge(destination: Destination, *, dry_run: bool) -> None:
    """Accept that the new cluster is the right one, as the operator confirms."""
    found = await destination.alarm() if dry_run else await destination.acknowledge()
    if found is not None:
        done = "would be acknowledged" if dry_run else "acknowledged"
        output.talk(f"{destination.name}: {done}: {found}")


def hold(loaded: Loaded, name: str, only: str | None, reason: str) -> int:
    """Exempt a snapshot from retention in every storage that has it; return the exit code."""
    note = reason or "held by an operator"
    return _each(
        loaded, name, only, "held", lambda destination: destination.mark(name, Sidecar.HOLD, note)
    )


def release(loaded: Loaded, name: str, only: str | None) -> int:
    """Make a held snapshot subject to retention again; return the exit code."""
    return _each(
        loaded, name, only, "released", lambda destination: destination.unmark(name, Sidecar.HOLD)
    )


def _each(
    loaded: Loaded,
    name: str,
    only: str | None,
    done: str,
    deed: Callable[[Destination], Awaitable[None]],
) -> int:
    destinations = assembly.destinations(loaded.config, only, cluster=loaded.name)
    codes: list[int] = []
    found: list[Destination] = []

    async def work() -> None:
        for destination in destinations:
            try:
                if all(one.name != name for one in await destination.stored()):
                    continue
                found.append(destination)
                if destination.static_name is not None:
                    raise _static_name_error(destination)
                await deed(destination)
                output.talk(f"{destination.name}: {name} is {done}")
            except AgentError as error:
                codes.append(error.exit_code)
                output.talk(f"error: {destination.name}: {error}")

    wait_for(work)
    if not found and not codes:
        raise SnapshotNotFound(f"no snapshot is called {name}", hint="list shows what is stored")
    return worst(codes, len(destinations))


def _static_name_error(destination: Destination) -> ConfigError:
    return ConfigError(
        f"{destination.static_name} is replaced by every snapshot",
        hint="fetch it to keep it, or store it without static_name",
    )
