"""Choose a snapshot among those of all storages, by its name or as the newest of a time.

The newest is the newest of the best proved (docs/decisions/0073): signed, described by a manifest,
or only named. What it cannot be: a safety snapshot, one that does not match its manifest, or one
from the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from raft_snapshot_agent.core.snapshots.naming import newest_first
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.proofs import Gaps
from raft_snapshot_agent.errors import AgentError, ConfigError, SnapshotNotFound, StorageFaults
from raft_snapshot_agent.restore.nearest import describe_nearest
from raft_snapshot_agent.restore.reader import FileReader, SnapshotReader, StoredReader
from raft_snapshot_agent.restore.safety_marks import is_safety_snapshot
from raft_snapshot_agent.storage.base import sizes_of

_JUDGED = 300
"""Number of manifests to read, newest first, before looking whether one can be believed."""
_ONLY_SAFETY = "all that is stored are safety snapshots, taken before a restore"
_BY_NAME = "list shows them; to use one, give its name"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest snapshot of the storages."""

    at: datetime | None = None
    """The time at which it was the newest; `None`: now."""


@dataclass(frozen=True, slots=True)
class Named:
    """The stored snapshot of a name."""

    name: str


@dataclass(frozen=True, slots=True)
class InFile:
    """A snapshot in a file."""

    path: Path | None
    """`None`: on standard input."""


Wanted = Newest | Named | InFile


@dataclass(frozen=True, slots=True)
class Missed:
    """A storage or a snapshot that could not be judged, so that a better one may be missed."""

    storage: str
    error: AgentError
    snapshot: str = ""
    """The name of the one whose manifest cannot be read; empty: the storage cannot be listed."""

    def __str__(self) -> str:
        if self.snapshot:
            return (
                f"{self.storage}: the manifest of {self.snapshot} cannot be read, and it may be the"
                f" one to choose: {self.error}"
            )
        return f"{self.storage} cannot be listed and may hold a newer snapshot: {self.error}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen snapshot, and what may have been a better choice."""

    reader: SnapshotReader
    missed: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """A snapshot that may be chosen."""

    destination: Destination
    stored: Stored
    unread: AgentError | None = None
    """Why its manifest could not be read."""
    is_judged: bool = True

    @property
    def rank(self) -> tuple[bool, bool, datetime]:
        stored = self.stored
        return stored.signed, self.is_judged and stored.proved, stored.taken_at

    @property
    def may_rank(self) -> tuple[bool, bool, datetime]:
        """The rank that its manifest may give it."""
        return self.destination.signing is not None, True, self.stored.taken_at

    @property
    def as_missed(self) -> Missed | None:
        """What may be missed with it, as its manifest could not be read."""
        stored = self.stored
        if self.unread is None or stored.broken or stored.mismatched:
            return None
        return Missed(self.destination.name, self.unread, stored.name)


async def choose(destinations: Sequence[Destination], wanted: Wanted, now: datetime) -> Choice:
    """Find a snapshot.

    Arguments:
        destinations: The storages to look in, in order.
        wanted: The snapshot.
        now: The present time.

    Raises:
        SnapshotNotFound: There is none.
        ConfigError: Several were taken at the same moment, the newest at a given time.
        StorageError: None was found, and storages could not be listed.
    """
    match wanted:
        case InFile(path):
            return Choice(FileReader(path))
        case Named(name):
            return Choice(await _find_by_name(destinations, name))
        case Newest(at):
            return await _choose_newest(destinations, at, now)


async def _choose_newest(
    destinations: Sequence[Destination], at: datetime | None, now: datetime
) -> Choice:
    """Choose the newest of the best proved snapshots."""
    until = now + AHEAD if at is None else min(at, now + AHEAD)
    found: list[_Found] = []
    missed: list[Missed] = []
    for destination in destinations:
        try:
            found += await _list_judged(destination, until)
        except AgentError as error:
            missed.append(Missed(destination.name, error))
    if at is not None:
        found = [one for one in found if one.stored.taken_at <= until and one.stored.dated]
    believed = [one for one in found if one.stored.is_counted and one.stored.taken_at <= until]
    if not believed:
        unread = [*missed, *_list_unread(found, until)]
        raise _explain_nothing(unread, len(destinations), len(found), at)
    best = await _take_best(sorted(believed, key=lambda one: one.rank, reverse=True))
    if not best:
        missed += _list_unread(found, until)
        raise (
            _join(missed, len(destinations))
            if missed
            else SnapshotNotFound(_ONLY_SAFETY, hint=_BY_NAME)
        )
    if at is not None:
        _require_one(best)
    place, chosen = best[0].destination, best[0].stored
    reader = StoredReader(place, chosen, by_date=True, elsewhere=_others(destinations, place))
    better = [one for one in found if one.may_rank > best[0].rank]
    return Choice(reader, (*missed, *_list_unread(better, until)))


async def _list_judged(destination: Destination, until: datetime) -> list[_Found]:
    """List the snapshots of a storage, the newest up to a time judged by their manifests."""
    gaps = Gaps()
    proofs = destination.proofs.tolerant(gaps)
    stored = await destination.stored()
    judge = await proofs.judge(stored)
    waiting = iter([one for one in stored if one.taken_at <= until])
    judged: list[Stored] = []
    while some := [*islice(waiting, _JUDGED)]:
        worth = await proofs.worth(judge, some)
        judged += worth
        if any(one.is_counted and (one.signed or proofs.keys is None) for one in worth):
            break
    names = {one.name for one in judged}
    return [
        *(_Found(destination, one, gaps.errors.get(one.name)) for one in judged),
        *(_Found(destination, one, is_judged=False) for one in stored if one.name not in names),
    ]


def _list_unread(found: Sequence[_Found], until: datetime) -> list[Missed]:
    """List the newest snapshot of each storage whose manifest could not be read."""
    newest: dict[str, Missed] = {}
    for one in sorted(found, key=lambda one: one.stored.taken_at):
        if one.as_missed is not None and one.stored.taken_at <= until:
            newest[one.destination.name] = one.as_missed
    return [*newest.values()]


async def _take_best(ranked: Sequence[_Found]) -> list[_Found]:
    """Return the first that are no safety snapshots, of one rank; none if all are."""
    best: list[_Found] = []
    for one in ranked:
        if best and one.rank != best[0].rank:
            break
        if not await is_safety_snapshot(one.destination, one.stored):
            best.append(one)
    return best


def _require_one(best: Sequence[_Found]) -> None:
    same = {one.stored.name: one.stored for one in best}
    names = [one.name for one in reversed(newest_first(same.values()))]
    if len(names) > 1:
        raise ConfigError(
            f"{len(names)} snapshots were taken at"
            f" {best[0].stored.taken_at:%Y-%m-%dT%H:%M:%SZ}: {', '.join(names)}",
            hint="give the name of the one you mean",
        )


def _explain_nothing(
    missed: Sequence[Missed], storages: int, count: int, at: datetime | None
) -> AgentError:
    if missed:
        return _join(missed, storages)
    which = "stored" if at is None else f"from {at:%Y-%m-%dT%H:%M:%SZ} or before"
    if count:
        return SnapshotNotFound(
            f"none of the {count} snapshots that are {which} can be believed to be the latest",
            hint="list and prune --dry-run say why; to use one all the same, give its name",
        )
    if at is None:
        return SnapshotNotFound("no storage holds a snapshot", hint="take one: save")
    return SnapshotNotFound(
        f"no snapshot was taken at {at:%Y-%m-%dT%H:%M:%SZ} or before",
        hint="list shows what is stored",
    )


async def _find_by_name(destinations: Sequence[Destination], name: str) -> StoredReader:
    missed: list[Missed] = []
    names: set[str] = set()
    for destination in destinations:
        try:
            sizes = await sizes_of(destination.storage)
            found = await destination.find(name, sizes)
            if found is None:
                names.update(one.name for one in await destination.stored(sizes))
        except AgentError as error:
            missed.append(Missed(destination.name, error))
            continue
        if found is not None:
            return StoredReader(destination, found, elsewhere=_others(destinations, destination))
    if missed:
        raise _join(missed, len(destinations))
    raise SnapshotNotFound(
        f"no snapshot is called {name}",
        hint=f"{describe_nearest(name, names)}list shows what is stored; a file needs its path",
    )


def _others(destinations: Sequence[Destination], one: Destination) -> tuple[Destination, ...]:
    return tuple(other for other in destinations if other is not one)


def _join(missed: Sequence[Missed], storages: int) -> AgentError:
    """Return the error of the only storage, or each of those that failed with its storage."""
    if storages == len(missed) == 1:
        return missed[0].error
    return StorageFaults({one.storage: one.error for one in missed})
