"""`prune`, `hold` and `release`: what stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raft_snapshot_agent import assembly
from raft_snapshot_agent.agent import Place, Pruned
from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.stored import worst
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.core.snapshot import Beside
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    SnapshotNotFound,
    StorageError,
)


def prune(
    loaded: Loaded, only: str | None, *, dry_run: bool, acknowledge: bool, layout: Format
) -> int:
    """Apply retention now, saying why each snapshot is kept; return the exit code."""
    places = assembly.places(loaded.config, only)
    agent = assembly.agent(loaded.config, places, by_hand=True)
    done: list[tuple[Place, Pruned]] = []
    failed: dict[str, int] = {}

    async def work() -> None:
        for place in places:
            if not place.prunes:
                output.talk(f"{place.name}: nothing is deleted: prune is false")
                continue
            try:
                if acknowledge:
                    await _acknowledge(place, dry_run=dry_run)
                done.append((place, await agent.prune(place, dry_run=dry_run)))
            except AgentError as error:
                failed[place.name] = error.exit_code
                output.talk(f"error: {place.name}: {error}")

    wait_for(work)
    output.table([row for place, pruned in done for row in _decisions(place, pruned)], layout)
    for place, pruned in done:
        for warning in pruned.warnings:
            failed[place.name] = StorageError.exit_code
            output.talk(f"warning: {place.name}: {warning}")
        verb = "would be deleted" if dry_run else "deleted"
        count = len(pruned.plan.delete) if dry_run else len(pruned.deleted)
        output.talk(f"{place.name}: {len(pruned.plan.keep)} kept, {count} {verb}")
    return worst([*failed.values()], len(places))


def _decisions(place: Place, pruned: Pruned) -> list[dict[str, str]]:
    kept = [
        {"storage": place.name, "action": "keep", "name": one.name, "why": ", ".join(why)}
        for one, why in pruned.plan.keep.items()
    ]
    gone = [
        {
            "storage": place.name,
            "action": "delete",
            "name": one.name,
            "why": "beyond max_space" if one in pruned.plan.crowded_out else "no rule keeps it",
        }
        for one in pruned.plan.delete
    ]
    return kept + gone


async def _acknowledge(place: Place, *, dry_run: bool) -> None:
    """Take an operator's word that the new cluster is the right one."""
    found = await place.alarm() if dry_run else await place.acknowledge()
    if found is not None:
        done = "would be acknowledged" if dry_run else "acknowledged"
        output.talk(f"{place.name}: {done}: {found}")


def hold(loaded: Loaded, name: str, only: str | None, reason: str) -> int:
    """Keep a snapshot wherever it is stored, whatever retention says; return the exit code."""
    note = reason or "held by an operator"
    return _each(loaded, name, only, "held", lambda place: place.mark(name, Beside.HOLD, note))


def release(loaded: Loaded, name: str, only: str | None) -> int:
    """Give a held snapshot back to retention; return the exit code."""
    return _each(loaded, name, only, "released", lambda place: place.unmark(name, Beside.HOLD))


def _each(
    loaded: Loaded,
    name: str,
    only: str | None,
    done: str,
    deed: Callable[[Place], Awaitable[None]],
) -> int:
    places = assembly.places(loaded.config, only)
    codes: list[int] = []
    found: list[Place] = []

    async def work() -> None:
        for place in places:
            try:
                if all(one.name != name for one in await place.stored()):
                    continue
                found.append(place)
                if place.static_name is not None:
                    raise _replaced(place)
                await deed(place)
                output.talk(f"{place.name}: {name} is {done}")
            except AgentError as error:
                codes.append(error.exit_code)
                output.talk(f"error: {place.name}: {error}")

    wait_for(work)
    if not found and not codes:
        raise SnapshotNotFound(f"no snapshot is called {name}", hint="list shows what is stored")
    return worst(codes, len(places))


def _replaced(place: Place) -> ConfigError:
    return ConfigError(
        f"{place.static_name} is replaced by every snapshot",
        hint="fetch it to keep it, or store it without static_name",
    )
