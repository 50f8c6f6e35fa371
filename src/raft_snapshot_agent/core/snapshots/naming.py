"""Builds and parses the names of snapshots in a storage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice, pairwise
from typing import Protocol

from raft_snapshot_agent.core.snapshots.layout import format_time, list_forms, parse_time
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar, Stored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(2, 9999)
"""Years whose times are valid in every time zone."""
_MICROSECOND = timedelta(microseconds=1)
LONGEST_NAME = 220
"""Bytes: file systems take 255, and names of files beside it and of incomplete ones are longer."""
_PIECE = 5000
"""Snapshots per sorted piece."""
_SAMPLES = (datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC), datetime(2031, 2, 9, 22, tzinfo=UTC))
_ENTROPY = re.compile(r"[0-9A-Fa-f]{6,}")
_AGENT_NAME = re.compile(
    r"raft-snapshot-([12][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z)"
    r"-i(0|[1-9][0-9]{0,19})(?:-([0-9a-f]{6}))?\.snap"
)
_BESIDE = (Sidecar.MANIFEST, Sidecar.HOLD, Sidecar.BROKEN, Sidecar.MISMATCH, Sidecar.DRILL)
_SEED_NAME = re.compile(r"raft_snapshot-([0-9]{19})\.snap")
"""Of 19 digits, as nanoseconds from 2001 to 2286 have; others' names have dates of fewer."""


@dataclass(frozen=True, slots=True)
class RunId:
    """ID of one run, from which the snapshot's name is made."""

    id: str
    taken_at: datetime
    """Start in UTC, with the precision of the name."""


@dataclass(frozen=True, slots=True)
class ParsedName:
    """Content of a snapshot's name."""

    taken_at: datetime
    index: int | None
    run_id: str | None
    literal: datetime | None = None
    """The time in UTC, if an offset in the name may be none, but literal text."""


class Naming(Protocol):
    """A format of snapshot names."""

    def run(self, now: datetime, entropy: str) -> RunId:
        """Return the ID of a new run.

        Arguments:
            now: Start of the request.
            entropy: Random hex text of at least six digits, so that two agents do not collide.
        """

    def name(self, run: RunId, index: int) -> str:
        """Return the name of a run's snapshot with a given Raft index."""

    def parse(self, name: str) -> ParsedName | None:
        """Parse a name of this format; `None` for others."""


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
    """`raft_snapshot-1795447800000000000.snap`, the original agent's format.

    A `datetime` has microseconds, so the last three digits are random.
    """

    def run(self, now: datetime, entropy: str) -> RunId:
        taken_at = now.astimezone(UTC)
        microseconds = (taken_at - _EPOCH) // _MICROSECOND
        nanoseconds = microseconds * 1000 + int(_hex(entropy), 16) % 1000
        return RunId(f"{nanoseconds:019}", taken_at)

    def name(self, run: RunId, index: int) -> str:  # noqa: ARG002
        return f"raft_snapshot-{run.id}.snap"

    def parse(self, name: str) -> ParsedName | None:
        if match := _SEED_NAME.fullmatch(name):
            taken_at = _EPOCH + int(match[1]) // 1000 * _MICROSECOND
            return ParsedName(taken_at, None, match[1])
        return None


@dataclass(frozen=True, slots=True)
class Layout:
    """A configured format, as of other agents: prefix, timestamp, suffix.

    Of two snapshots with the same timestamp, only the later one is kept.
    """

    prefix: str
    timestamp: str
    """Layout of the timestamp, see `core.snapshots.layout`."""
    suffix: str = ".snap"

    def __post_init__(self) -> None:
        """Refuse a layout whose names no file can have, or that do not tell the time.

        Raises:
            ValueError: The message says why.
        """
        if self.suffix in {*Sidecar}:
            raise ValueError(f"the suffix {self.suffix} is that of files beside a snapshot")
        for moment in _SAMPLES:
            name = self._name(moment)
            if "/" in name or not name.isprintable():
                raise ValueError(
                    f"the timestamp {self.timestamp!r} is no part of a file name: it must have no"
                    " slashes and no control characters"
                )
            if len(name.encode()) > LONGEST_NAME:
                raise ValueError(
                    f"its names have {len(name.encode())} bytes, more than {LONGEST_NAME}"
                )
            parsed = self.parse(name)
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
        new, *others = list_forms(self.timestamp)
        if taken_at := parse_time(new, text):
            return ParsedName(taken_at, None, None)
        times = [*filter(None, (parse_time(form, text) for form in others))]
        return ParsedName(times[-1], None, None, times[0]) if times else None

    def _name(self, moment: datetime) -> str:
        written = format_time(list_forms(self.timestamp)[0], moment)
        return f"{self.prefix}{written}{self.suffix}"


AGENT: Naming = _AgentNaming()
SEED: Naming = _SeedNaming()
FORK: Naming = Layout("raft-snapshot-", "2006-01-02T15-04-05Z-0700")
"""Default format of the original's best-known fork, in local time with UTC offset."""
_ALWAYS: tuple[Naming, ...] = (AGENT, SEED, FORK)
"""Formats that are always recognised."""
_ENDING = ".snap"
"""Suffix of all these names."""


def parse(name: str, naming: Naming = AGENT, *, has_manifest: bool = False) -> ParsedName | None:
    """Parse a snapshot's name; `None` for other names.

    Arguments:
        name: Name in the storage.
        naming: The configured format, before those of this agent, the original and its fork,
            which are always recognised.
        has_manifest: Whether it has a manifest, so that this agent wrote the name. Earlier versions
            wrote some zones of a layout as literal text, while other agents write their offset.
    """
    kinds = _ALWAYS if name.endswith(_ENDING) else ()
    for kind in kinds if naming is AGENT else (naming, *kinds):
        if (found := kind.parse(name)) and found.taken_at.year in _YEARS:
            taken_at = found.literal if has_manifest and found.literal else found.taken_at
            return replace(found, taken_at=taken_at, literal=None) if found.literal else found
    return None


def manifest_name(name: str) -> str:
    """Return the name of a snapshot's manifest."""
    return Sidecar.MANIFEST.name_for(name)


def list_names(name: str) -> tuple[str, ...]:
    """List the names of a snapshot and of all files that may be beside it."""
    return name, *(sidecar.name_for(name) for sidecar in Sidecar)


def snapshot_name(name: str) -> str:
    """Return the name of the snapshot to which an object belongs."""
    ending = next((ending for ending in Sidecar if name.endswith(ending)), "")
    return name.removesuffix(ending)


def catalogue(entries: Iterable[tuple[str, int]], naming: Naming = AGENT) -> tuple[Stored, ...]:
    """Return the snapshots among the objects of a storage, newest first.

    Arguments:
        entries: Names and sizes in bytes; foreign names are ignored.
        naming: The configured format of names.
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
        if (parsed := parse(name, naming, has_manifest=sizes.get(name + manifest, 0) > 0))
    )


def newest_first(stored: Iterable[Stored]) -> tuple[Stored, ...]:
    """Sort by time, within one second by index, then by name.

    A long list is sorted in pieces, because no other thread runs while Python sorts.
    """
    listed = tuple(stored)
    if all(newer >= older for newer, older in pairwise(map(_age, listed))):
        return listed
    rest = iter(listed)
    pieces = iter(lambda: sorted(islice(rest, _PIECE), key=_age, reverse=True), [])
    return tuple(merge(*pieces, key=_age, reverse=True))


def _age(stored: Stored) -> tuple[datetime, int, str]:
    index = -1 if stored.index is None else stored.index
    return stored.taken_at, index, stored.name


def _hex(entropy: str) -> str:
    if not _ENTROPY.fullmatch(entropy):
        raise ValueError("entropy is at least six hex digits")
    return entropy.lower()
