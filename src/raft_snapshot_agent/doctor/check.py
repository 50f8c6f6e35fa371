"""What monitoring systems are told: one state, one line, one document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from raft_snapshot_agent.core.freshness import Census, age
from raft_snapshot_agent.core.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshot import Stored
from raft_snapshot_agent.core.spans import span
from raft_snapshot_agent.destination.holdings import Holding

_TITLE = "RAFT SNAPSHOTS"
_LONGEST = 300
"""Letters that one storage gets: who reads the line has little room."""


class CheckState(IntEnum):
    """The states of Nagios, by their exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_WORST_FIRST = (CheckState.CRITICAL, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK)


@dataclass(frozen=True, slots=True)
class Result:
    """What one storage comes to."""

    cluster: str
    """Empty where there is one only."""
    storage: str
    state: CheckState
    message: str
    newest: Stored | None = None
    age: timedelta | None = None
    limit: timedelta | None = None
    """How old the newest may be."""
    due: datetime | None = None
    required: bool = True

    @property
    def label(self) -> str:
        return f"{self.cluster}/{self.storage}" if self.cluster else self.storage


def judge(holding: Holding, now: datetime, max_age: timedelta | None, cluster: str = "") -> Result:
    """Return what one storage comes to.

    Arguments:
        holding: The storage as it was found.
        now: The present time.
        max_age: How old its newest snapshot may be; by its schedule when missing.
        cluster: Whose snapshots they are.
    """
    newest, due, required = holding.newest, holding.deadline, holding.destination.required
    old = None if newest is None else age(newest.taken_at, now)
    limit = max_age
    if limit is None and newest is not None and due is not None:
        limit = due.late - newest.taken_at
    state, message = _state(holding, old, limit)
    if not required and state is not CheckState.OK:
        state, message = CheckState.WARNING, f"{message} (required: false)"
    return Result(
        cluster=cluster,
        storage=holding.destination.name,
        state=state,
        message=message,
        newest=newest,
        age=old,
        limit=limit,
        due=None if due is None else due.due,
        required=required,
    )


def overall(results: Sequence[Result]) -> CheckState:
    """Return the worst state: a storage that is late, before one that cannot be asked."""
    return min((one.state for one in results), key=_WORST_FIRST.index, default=CheckState.UNKNOWN)


def line(results: Sequence[Result]) -> str:
    """Write the one line of a plugin, the worst first, with performance data.

    Source: "Nagios Plugins Development Guidelines".
    """
    ranked = sorted(results, key=lambda one: _WORST_FIRST.index(one.state))
    told = "; ".join(f"{one.label}: {_short(one.message)}" for one in ranked)
    measured = " ".join(_format_perfdata(one) for one in results if one.age is not None)
    return _plugin_line(overall(results), told) + (f" | {measured}" if measured else "")


def unknown_line(why: str) -> str:
    """Write the line of a plugin that could not find anything out."""
    return _plugin_line(CheckState.UNKNOWN, why)


def document(results: Sequence[Result]) -> dict[str, Any]:
    """Write the same for programs."""
    state = overall(results)
    return {
        "status": state.name,
        "exit_code": int(state),
        "storages": [_entry(one) for one in results],
    }


def unknown_document(why: str) -> dict[str, Any]:
    """Write the document where nothing could be found out."""
    return {"status": CheckState.UNKNOWN.name, "exit_code": 3, "message": why, "storages": []}


def _state(
    holding: Holding, old: timedelta | None, limit: timedelta | None
) -> tuple[CheckState, str]:
    found = holding.census
    if found is None:
        why = "cannot list snapshots" if holding.error is None else str(holding.error)
        return CheckState.UNKNOWN, why
    if found.newest is None or old is None or limit is None:
        return _nothing(found)
    if old > limit:
        return CheckState.CRITICAL, f"{span(old)} old, at most {span(limit)}"
    doubts = _doubts(holding, found, found.newest)
    told = ", ".join([f"{span(old)} old", *doubts])
    return (CheckState.WARNING if doubts else CheckState.OK), told


def _nothing(found: Census) -> tuple[CheckState, str]:
    if found.undated:
        return CheckState.UNKNOWN, f"no manifest tells how old {found.undated[0].name} is"
    if found.ahead:
        return CheckState.CRITICAL, "no snapshot but those dated in the future"
    if found.broken:
        return CheckState.CRITICAL, f"no whole snapshot, {len(found.broken)} known to be broken"
    return CheckState.CRITICAL, "no snapshot"


def _doubts(holding: Holding, found: Census, newest: Stored) -> list[str]:
    """List what is a warning only: it can wait until the morning."""
    doubts = []
    if holding.alarm is not None:
        doubts.append(f"retention suspended: {holding.alarm}")
    if found.broken and found.broken[0].taken_at > newest.taken_at:
        doubts.append(f"a later one is known to be broken: {found.broken[0].name}")
    if not newest.verified:
        doubts.append(f"{newest.name} has no manifest, so it was never verified")
    if found.ahead:
        doubts.append(f"{found.ahead[0].name} is dated in the future")
    doubts += _scrub_doubts(holding.scrubbed)
    return doubts


def _scrub_doubts(note: ScrubNote) -> list[str]:
    """List what was found rotten, or gone, when snapshots were read back."""
    found = [(note.rotten, "rotten when it was read back"), (note.vanished, "gone, and not pruned")]
    return [
        f"{names[0]} {'and others are' if len(names) > 1 else 'is'} {what}"
        for names, what in found
        if names
    ]


def _plugin_line(state: CheckState, told: str) -> str:
    return f"{_TITLE} {state.name} - {_plain(told)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(text: str) -> str:
    """Replace the characters that would end the text early."""
    printable = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(printable.replace("|", "/").split())


def _format_perfdata(result: Result) -> str:
    label = "".join("_" if one in "'= |" else one for one in f"age_{result.label}")
    seconds = int((result.age or timedelta(0)).total_seconds())
    limit = "" if result.limit is None else str(int(result.limit.total_seconds()))
    bounds = f";{limit}" if result.required else f"{limit};"
    return f"{label}={seconds}s;{bounds};0"


def _entry(result: Result) -> dict[str, Any]:
    newest = result.newest
    return {
        "cluster": result.cluster or None,
        "storage": result.storage,
        "status": result.state.name,
        "message": result.message,
        "newest": None if newest is None else newest.name,
        "taken_at": None if newest is None else newest.taken_at.isoformat(),
        "age_seconds": None if result.age is None else int(result.age.total_seconds()),
        "limit_seconds": None if result.limit is None else int(result.limit.total_seconds()),
        "due_at": None if result.due is None else result.due.isoformat(),
    }
