"""The names of snapshots in a storage: how they are made, and what they tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Protocol

from raft_snapshot_agent.core.snapshots.layout import directives
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(2, 9999)
"""Moments of these years are moments in every time zone."""
_MICROSECOND = timedelta(microseconds=1)
_PIECE = 5000
"""Snapshots that are sorted at once."""
_SAMPLES = (datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC), datetime(2031, 2, 9, 22, tzinfo=UTC))
_ENTROPY = re.compile(r"[0-9A-Fa-f]{6,}")
_AGENT_NAME = re.compile(
    r"raft-snapshot-([12][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z)"
    r"-i(0|[1-9][0-9]{0,19})(?:-([0-9a-f]{6}))?\.snap"
)
_BESIDE = (Sidecar.MANIFEST, Sidecar.HOLD, Sidecar.BROKEN, Sidecar.MISMATCH, Sidecar.DRILL)
_SEED_NAME = re.compile(r"raft_snapshot-(0|[1-9][0-9]{0,18})\.snap")


@dataclass(frozen=True, slots=True)
class RunId:
    """One attempt at a snapshot: what its name is made of before anything is known of it."""

    id: str
    taken_at: datetime
    """In UTC, as exact as the name tells it."""


@dataclass(frozen=True, slots=True)
class ParsedName:
    """What a snapshot's name tells."""

    taken_at: datetime
    index: int | None
    run_id: str | None


class Naming(Protocol):
    """One way to name snapshots."""

    def run(self, now: datetime, entropy: str) -> RunId:
        """Begin a run.

        Arguments:
            now: Start of the request.
            entropy: Random hex text, at least six digits: two agents that meet do not collide.
        """

    def name(self, run: RunId, index: int) -> str:
        """Return the name of a run's snapshot, by its Raft index."""

    def parse(self, name: str) -> ParsedName | None:
        """Read a name of this kind; nothing for every other."""


@dataclass(frozen=True, slots=True)
class _AgentNaming:
    """`raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap`."""

    def run(self, now: datetime, entropy: str) -> RunId:
        return RunId(_hex(entropy)[:6], now.astimezone(UTC).replace(microsecond=0))

    def name(self, run: RunId, index: int) -> str:
        return f"raft-snapshot-{run.taken_at:%Y%m%dT%H%M%SZ}-i{index}-{run.id}.snap"

    def parse(self, name: str) -> ParsedName | None:
        if match := _AGENT_NAME.fullmatch(name):
            moment, index, run_id = match.groups()
            try:
                return ParsedName(datetime.fromisoformat(moment), int(index), run_id)
            except ValueError:
                return None
        return None


@dataclass(frozen=True, slots=True)
class _SeedNaming:
    """`raft_snapshot-1795447800000000000.snap`, as the original agent writes it.

    A `datetime` knows microseconds; the last three digits are entropy.
    """

    def run(self, now: datetime, entropy: str) -> RunId:
        taken_at = now.astimezone(UTC)
        microseconds = (taken_at - _EPOCH) // _MICROSECOND
        return RunId(str(microseconds * 1000 + int(_hex(entropy), 16) % 1000), taken_at)

    def name(self, run: RunId, index: int) -> str:  # noqa: ARG002
        return f"raft_snapshot-{run.id}.snap"

    def parse(self, name: str) -> ParsedName | None:
        if match := _SEED_NAME.fullmatch(name):
            taken_at = _EPOCH + int(match[1]) // 1000 * _MICROSECOND
            return ParsedName(taken_at, None, match[1])
        return None


@dataclass(frozen=True, slots=True)
class Layout:
    """Names as other agents' users have them: a prefix, a timestamp, a suffix.

    Nothing tells two snapshots apart that have the same timestamp: the later one stays.
    """

    prefix: str
    timestamp: str
    """As `core.layout` reads it."""
    suffix: str = ".snap"

    def __post_init__(self) -> None:
        """Refuse a layout that does not tell when a snapshot was taken.

        Raises:
            ValueError: The message says why.
        """
        if self.suffix in {*Sidecar}:
            raise ValueError(f"the suffix {self.suffix} is that of files beside a snapshot")
        for moment in _SAMPLES:
            parsed = self.parse(self._name(moment))
            if parsed is None or abs(parsed.taken_at - moment) >= timedelta(minutes=1):
                raise ValueError(
                    f"the timestamp {self.timestamp!r} does not tell the time to the minute"
                )

    def run(self, now: datetime, entropy: str) -> RunId:
        return AGENT.run(now, entropy)

    def name(self, run: RunId, index: int) -> str:  # noqa: ARG002
        return self._name(run.taken_at)

    def parse(self, name: str) -> ParsedName | None:
        if not (name.startswith(self.prefix) and name.endswith(self.suffix)):
            return None
        text = name.removeprefix(self.prefix).removesuffix(self.suffix)
        try:
            moment = datetime.strptime(text, self._directives)  # noqa: DTZ007 - below
            taken_at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            # What reads loosely has to come out again to the letter.
            if self._name(taken_at) != name:
                return None
            return ParsedName(taken_at.astimezone(UTC), None, None)
        except (ValueError, OverflowError):
            return None

    def _name(self, moment: datetime) -> str:
        return f"{self.prefix}{moment.strftime(self._directives)}{self.suffix}"

    @property
    def _directives(self) -> str:
        return directives(self.timestamp)


AGENT: Naming = _AgentNaming()
SEED: Naming = _SeedNaming()
FORK: Naming = Layout("raft-snapshot-", "2006-01-02T15-04-05Z-0700")
"""The default of the original's best-known fork, in local time with its distance from UTC."""
_ALWAYS: tuple[Naming, ...] = (AGENT, SEED, FORK)
"""Known whatever is configured."""
_ENDING = ".snap"
"""Of all these names."""


def parse(name: str, naming: Naming = AGENT) -> ParsedName | None:
    """Read a snapshot's name; `None` for every other name.

    Arguments:
        name: As it stands in the storage.
        naming: How snapshots are named here, beside the names that are always known: this
            agent's, the original's and its fork's.
    """
    kinds = _ALWAYS if name.endswith(_ENDING) else ()
    for kind in kinds if naming is AGENT else (*kinds, naming):
        if (found := kind.parse(name)) and found.taken_at.year in _YEARS:
            return found
    return None


def manifest_name(name: str) -> str:
    """Return the name of a snapshot's manifest."""
    return Sidecar.MANIFEST.name_for(name)


def snapshot_name(name: str) -> str:
    """Return the name of the snapshot that an object is, or lies beside."""
    ending = next((ending for ending in Sidecar if name.endswith(ending)), "")
    return name.removesuffix(ending)


def catalogue(entries: Iterable[tuple[str, int]], naming: Naming = AGENT) -> tuple[Stored, ...]:
    """Find the snapshots among the objects of a storage, newest first.

    Arguments:
        entries: Names and sizes in bytes; foreign names are passed over.
        naming: How snapshots are named here.
    """
    sizes = dict(entries)
    manifest, hold, broken, mismatch, drill = map(str, _BESIDE)  # looked up once, not for each
    return newest_first(
        Stored(
            name=name,
            taken_at=parsed.taken_at,
            size=size,
            index=parsed.index,
            verified=(manifest_size := sizes.get(name + manifest, 0)) > 0,
            manifest_size=manifest_size,
            held=name + hold in sizes,
            condemned=name + broken in sizes,
            mismatched=name + mismatch in sizes,
            drilled=name + drill in sizes,
        )
        for name, size in sizes.items()
        if (parsed := parse(name, naming))
    )


def newest_first(stored: Iterable[Stored]) -> tuple[Stored, ...]:
    """Order by time, within one second by index, then by name.

    A long list is sorted piece by piece: no other thread goes on while Python sorts.
    """
    rest = iter(stored)
    pieces = iter(lambda: sorted(islice(rest, _PIECE), key=_age, reverse=True), [])
    return tuple(merge(*pieces, key=_age, reverse=True))


def _age(stored: Stored) -> tuple[datetime, int, str]:
    index = -1 if stored.index is None else stored.index
    return stored.taken_at, index, stored.name


def _hex(entropy: str) -> str:
    if not _ENTROPY.fullmatch(entropy):
        raise ValueError("entropy is at least six hex digits")
    return entropy.lower()
