"""The names of snapshots in a storage: how they are made, and what they tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from raft_snapshot_agent.core.snapshot import MANIFEST_SUFFIX, Stored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENTROPY = re.compile(r"[0-9A-Fa-f]{6,}")
_AGENT_NAME = re.compile(
    r"raft-snapshot-([12][0-9]{3})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z"
    r"-i(0|[1-9][0-9]{0,19})(?:-([0-9a-f]{6}))?\.snap"
)
_SEED_NAME = re.compile(r"raft_snapshot-(0|[1-9][0-9]{0,18})\.snap")


@dataclass(frozen=True, slots=True)
class Run:
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

    def run(self, now: datetime, entropy: str) -> Run:
        """Begin a run.

        Arguments:
            now: Start of the request.
            entropy: Random hex text, at least six digits: two agents that meet do not collide.
        """

    def name(self, run: Run, index: int) -> str:
        """Name the snapshot of a run by its Raft index."""


@dataclass(frozen=True, slots=True)
class _AgentNaming:
    """`raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap`."""

    def run(self, now: datetime, entropy: str) -> Run:
        return Run(_hex(entropy)[:6], now.astimezone(UTC).replace(microsecond=0))

    def name(self, run: Run, index: int) -> str:
        return f"raft-snapshot-{run.taken_at:%Y%m%dT%H%M%SZ}-i{index}-{run.id}.snap"


@dataclass(frozen=True, slots=True)
class _SeedNaming:
    """`raft_snapshot-1795447800000000000.snap`, as the original agent writes it.

    A `datetime` knows microseconds; the last three digits are entropy.
    """

    def run(self, now: datetime, entropy: str) -> Run:
        taken_at = now.astimezone(UTC)
        microseconds = (taken_at - _EPOCH) // _MICROSECOND
        return Run(str(microseconds * 1000 + int(_hex(entropy), 16) % 1000), taken_at)

    def name(self, run: Run, index: int) -> str:  # noqa: ARG002
        return f"raft_snapshot-{run.id}.snap"


AGENT: Naming = _AgentNaming()
SEED: Naming = _SeedNaming()


def parse(name: str) -> ParsedName | None:
    """Read a snapshot's name, this agent's or the original's; `None` for every other name."""
    if match := _AGENT_NAME.fullmatch(name):
        *moment, index, run_id = match.groups()
        return _parsed(moment, int(index), run_id)
    if match := _SEED_NAME.fullmatch(name):
        taken_at = _EPOCH + int(match[1]) // 1000 * _MICROSECOND
        return ParsedName(taken_at, None, match[1])
    return None


def manifest_name(name: str) -> str:
    """Name the manifest that lies beside a snapshot."""
    return name + MANIFEST_SUFFIX


def catalogue(entries: Iterable[tuple[str, int]]) -> tuple[Stored, ...]:
    """Find the snapshots among the objects of a storage, newest first.

    Arguments:
        entries: Names and sizes in bytes; foreign names are passed over.
    """
    sizes = dict(entries)
    return newest_first(
        Stored(
            name=name,
            taken_at=parsed.taken_at,
            size=size,
            index=parsed.index,
            verified=sizes.get(manifest_name(name), 0) > 0,
        )
        for name, size in sizes.items()
        if (parsed := parse(name))
    )


def newest_first(stored: Iterable[Stored]) -> tuple[Stored, ...]:
    """Order by time, within one second by index, then by name."""
    return tuple(sorted(stored, key=_age, reverse=True))


def _age(stored: Stored) -> tuple[datetime, int, str]:
    index = -1 if stored.index is None else stored.index
    return stored.taken_at, index, stored.name


def _parsed(moment: Iterable[str], index: int, run_id: str | None) -> ParsedName | None:
    year, month, day, hour, minute, second = map(int, moment)
    try:
        taken_at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return ParsedName(taken_at, index, run_id)


def _hex(entropy: str) -> str:
    if not _ENTROPY.fullmatch(entropy):
        raise ValueError("entropy is at least six hex digits")
    return entropy.lower()
