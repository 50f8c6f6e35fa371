"""Choose a snapshot among those of all storages, by its name or as the newest of a time.

The newest is the newest of the best proved (docs/decisions/0073): signed, described by a manifest,
or only named. What it cannot be: a safety snapshot, one that does not match its manifest, or one
from the future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, SnapshotNotFound, StorageFaults
from raft_snapshot_agent.restore.nearest import describe_nearest
from raft_snapshot_agent.restore.reader import FileReader, SnapshotReader, StoredReader
from raft_snapshot_agent.restore.way_back import is_way_back
from raft_snapshot_agent.threads import in_thread

_JUDGED = 300
"""Number of newest manifests to read to choose the newest; more could take minutes."""
_ONLY_SAFETY = "all that is stored are safety snapshots, taken before a restore"
_BY_NAME = "list shows them; to use one, give its name"


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A storage that could not be listed, and so may hold a newer snapshot."""

    storage: str
    error: AgentError

    def __str__(self) -> str:
        return f"{self.storage} cannot be listed and may hold a newer snapshot: {self.error}"


Missed = Callable[[Sequence[Unlisted]], None]
"""Called with the storages that could not be listed, before the newest of the others is used."""


def ignore(_: object) -> None:
    """Tell nobody."""


async def choose(
    destinations: Sequence[Destination], wanted: str | None, missed: Missed = ignore
) -> SnapshotReader:
    """Find a snapshot.

    Arguments:
        destinations: The storages to look in, in order.
        wanted: A snapshot's name, a file's path, or `-` for standard input; `None`: the newest
            verified snapshot, else the newest.
        missed: Called with the storages that may hold a newer one.

    Raises:
        SnapshotNotFound: There is none.
        StorageError: None was found, and storages could not be listed.
    """
    if wanted is None:
        return (await find_newest(destinations, None, missed))[0]
    if wanted == "-":
        return FileReader(None)
    if "/" in wanted or await in_thread(Path(wanted).is_file):
        return FileReader(Path(wanted))
    return await _find_by_name(destinations, wanted)


async def find_newest(
    destinations: Sequence[Destination], when: datetime | None, missed: Missed = ignore
) -> list[StoredReader]:
    """Find the newest of the best proved snapshots; several if they are of the same second.

    Arguments:
        destinations: The storages to look in, in order.
        when: The time at which it was the newest; `None`: now.
        missed: Called with the storages that may hold a newer one.

    Raises:
        SnapshotNotFound: There is none.
        StorageError: None was found, and storages could not be listed.
    """
    latest = datetime.now(UTC) + AHEAD
    until = latest if when is None else min(when, latest)
    found: list[tuple[Stored, Destination]] = []
    failed: list[Unlisted] = []
    for destination in destinations:
        try:
            found += [(one, destination) for one in await _list_proved(destination, until)]
        except AgentError as error:
            failed.append(Unlisted(destination.name, error))
    if when is not None:
        found = [one for one in found if one[0].taken_at <= until and one[0].dated]
    believed = [one for one in found if one[0].counts and one[0].taken_at <= until]
    if not believed:
        raise _explain_nothing(failed, len(found), when)
    best = await _take_best(sorted(believed, key=lambda pair: _rank(pair[0]), reverse=True))
    if not best:
        raise _join(failed) if failed else SnapshotNotFound(_ONLY_SAFETY, hint=_BY_NAME)
    if failed:
        missed(failed)
    return [
        StoredReader(place, stored, by_date=True, elsewhere=_others(destinations, place))
        for stored, place in best
    ]


async def _list_proved(destination: Destination, until: datetime) -> list[Stored]:
    """List the snapshots of a storage, the newest up to a time judged by their manifests."""
    stored = await destination.stored()
    asked = [one for one in stored if one.taken_at <= until][:_JUDGED]
    proofs = destination.proofs
    judged = await proofs.worth(await proofs.judge(stored), asked)
    names = {one.name for one in judged}
    return [*judged, *(one for one in stored if one.name not in names)]


def _rank(stored: Stored) -> tuple[bool, bool, datetime]:
    return stored.signed, stored.proved, stored.taken_at


async def _take_best(
    ranked: Sequence[tuple[Stored, Destination]],
) -> list[tuple[Stored, Destination]]:
    """Return the first that are no safety snapshots, of one rank; none if all are."""
    best: list[tuple[Stored, Destination]] = []
    for stored, destination in ranked:
        if best and _rank(stored) != _rank(best[0][0]):
            break
        if not await is_way_back(destination, stored):
            best.append((stored, destination))
    return best


def _explain_nothing(failed: Sequence[Unlisted], count: int, when: datetime | None) -> AgentError:
    if failed:
        return _join(failed)
    which = "stored" if when is None else f"from {when:%Y-%m-%dT%H:%M:%SZ} or before"
    if count:
        return SnapshotNotFound(
            f"none of the {count} snapshots that are {which} can be believed to be the latest",
            hint="list and prune --dry-run say why; to use one all the same, give its name",
        )
    if when is None:
        return SnapshotNotFound("no storage holds a snapshot", hint="take one: save")
    return SnapshotNotFound(
        f"no snapshot was taken at {when:%Y-%m-%dT%H:%M:%SZ} or before",
        hint="list shows what is stored",
    )


async def _find_by_name(destinations: Sequence[Destination], name: str) -> StoredReader:
    failed: list[Unlisted] = []
    names: set[str] = set()
    for destination in destinations:
        try:
            found = await destination.find(name)
            if found is None:
                names.update(one.name for one in await destination.stored())
        except AgentError as error:
            failed.append(Unlisted(destination.name, error))
            continue
        if found is not None:
            return StoredReader(destination, found, elsewhere=_others(destinations, destination))
    if failed:
        raise _join(failed)
    raise SnapshotNotFound(
        f"no snapshot is called {name}",
        hint=f"{describe_nearest(name, names)}list shows what is stored; a file needs its path",
    )


def _others(destinations: Sequence[Destination], one: Destination) -> tuple[Destination, ...]:
    return tuple(other for other in destinations if other is not one)


def _join(failed: Sequence[Unlisted]) -> AgentError:
    if len(failed) == 1:
        return failed[0].error
    return StorageFaults({one.storage: one.error for one in failed})
