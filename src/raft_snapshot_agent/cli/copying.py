"""`copy`: copies snapshots from one storage to another."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.choice import Newest
from raft_snapshot_agent.restore.copying import Copying, CopyResult, CopyState
from raft_snapshot_agent.restore.nearest import find_named
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.service import assembly


@dataclass(frozen=True, slots=True)
class CopyWish:
    """The arguments of `copy`."""

    source: str
    target: str
    snapshot: str | None = None
    """A name; empty: the newest verified snapshot."""
    every: bool = False
    dry_run: bool = False


def copy(loaded: Loaded, wish: CopyWish, layout: Format) -> int:
    """Copy snapshots from one storage to another and verify each; return the exit code."""
    places = _open_places(loaded, wish)
    copying = Copying(*places, spool_folder(loaded.config, os.environ), reads=not wish.every)
    done: list[CopyResult] = []

    async def work() -> None:
        readers = await _choose_copied(places[0], wish)
        if not wish.dry_run:
            await _admit(copying, readers)
        await _follow(copying, readers, wish, done)
        if not wish.dry_run:
            await _admit(copying, readers)
            await _warn_of_uncounted(copying, done)

    wait_for(work)
    output.table([_row(one) for one in done], layout)
    _sum_up(done, places[1].name, wish)
    return worst([one.error.exit_code for one in done if one.error], len(done))


def _open_places(loaded: Loaded, wish: CopyWish) -> tuple[Destination, Destination]:
    if wish.source == wish.target:
        raise ConfigError(
            f"--from and --to are both {wish.source}",
            hint="name two storages; config show has them",
        )
    source, target = [
        assembly.destinations(loaded.config, name, cluster=loaded.name)[0]
        for name in (wish.source, wish.target)
    ]
    for place in (source, target):
        if place.static_name is not None:
            raise ConfigError(
                f"{place.name} holds one snapshot, {place.static_name}, that every run replaces",
                hint="fetch it to keep it, or copy between storages without static_name",
            )
    return source, target


async def _choose_copied(source: Destination, wish: CopyWish) -> list[StoredReader]:
    """List the snapshots to copy, newest first, as the newest matter most."""
    if alarm := await source.alarm():
        output.warn(f"{source.name}: an alarm is active there: {alarm}")
    if wish.every:
        return [StoredReader(source, one) for one in await source.stored()]
    if wish.snapshot is not None:
        return [StoredReader(source, find_named(await source.stored(), wish.snapshot))]
    latest = await choose_reader([source], Newest())
    return [latest] if isinstance(latest, StoredReader) else []


async def _admit(copying: Copying, readers: Sequence[StoredReader]) -> None:
    if trouble := await copying.admit(readers):
        output.warn(trouble)


async def _warn_of_uncounted(copying: Copying, done: Sequence[CopyResult]) -> None:
    there = {one.stored.name for one in done if one.state is not CopyState.FAILED}
    if doubt := await copying.describe_uncounted(there):
        output.warn(doubt)


async def _follow(
    copying: Copying, readers: Sequence[StoredReader], wish: CopyWish, done: list[CopyResult]
) -> None:
    results: AsyncIterator[CopyResult] = (copying.plan if wish.dry_run else copying.run)(readers)
    watched = output.is_terminal(sys.stderr)
    async for one in results:
        done.append(one)
        if one.error is not None:
            output.talk(f"error: {one.stored.name}: {one.error}")
        elif watched:
            output.talk(f"{len(done)} of {len(readers)}: {one.stored.name}: {one.state}")


def _row(one: CopyResult) -> dict[str, str]:
    return {
        "name": one.stored.name,
        "size": format_size(one.stored.size),
        "state": one.state.value,
        "detail": one.detail or ("" if one.error is None else one.error.message),
    }


def _sum_up(done: Sequence[CopyResult], target: str, wish: CopyWish) -> None:
    counts = {state: sum(one.state is state for one in done) for state in CopyState}
    told = [f"{count} {state}" for state, count in counts.items() if count]
    output.talk(f"{target}: {', '.join(told) or f'{wish.source} holds no snapshot'}")
    if counts[CopyState.COPIED]:
        output.talk(
            f"Retention of {target} is not applied by copy: its next run or prune does that"
        )
