"""Whether the content of a storage is enough, as `check` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.snapshots.snapshot import MISDESCRIBED, Stored
from raft_snapshot_agent.core.state.freshness import Census, age
from raft_snapshot_agent.core.state.holding import CheckState, Holding
from raft_snapshot_agent.core.state.storage_kinds import OF_FILES

CONTRADICTED = f"is {MISDESCRIBED}"
_WORST_FIRST = (CheckState.CRITICAL, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the check of one storage."""

    cluster: str
    """Name of the cluster; empty if only one is configured."""
    storage: str
    state: CheckState
    message: str
    newest: Stored | None = None
    age: timedelta | None = None
    limit: timedelta | None = None
    """Greatest acceptable age of the newest snapshot."""
    due: datetime | None = None
    required: bool = True

    @property
    def label(self) -> str:
        return f"{self.cluster}/{self.storage}" if self.cluster else self.storage


def judge_holding(
    holding: Holding, now: datetime, max_age: timedelta | None = None, cluster: str = ""
) -> Verdict:
    """Return the result of the check of one storage.

    Arguments:
        holding: Content of the storage.
        now: The present time.
        max_age: Greatest acceptable age of its newest snapshot; by default from its schedule.
        cluster: Name of the cluster.
    """
    newest, due = holding.newest, holding.deadline
    old = None if newest is None else age(newest.taken_at, now)
    limit = max_age
    if limit is None and newest is not None and due is not None:
        limit = due.late - newest.taken_at
    state, message = _state(holding, old, limit)
    if not holding.required and state is not CheckState.OK:
        state, message = CheckState.WARNING, f"{message} (required: false)"
    return Verdict(
        cluster=cluster,
        storage=holding.storage,
        state=state,
        message=message,
        newest=newest,
        age=old,
        limit=limit,
        due=None if due is None else due.due,
        required=holding.required,
    )


def rank(state: CheckState) -> int:
    """Return the severity rank of a state, worst first; critical comes before unknown."""
    return _WORST_FIRST.index(state)


def overall(verdicts: Sequence[Verdict]) -> CheckState:
    """Return the worst state; unknown without any results."""
    return min((one.state for one in verdicts), key=rank, default=CheckState.UNKNOWN)


def _state(
    holding: Holding, old: timedelta | None, limit: timedelta | None
) -> tuple[CheckState, str]:
    found = holding.census
    if holding.error is not None:
        return CheckState.UNKNOWN, str(holding.error)
    if found is None:
        return CheckState.UNKNOWN, "its snapshots were not listed yet"
    if found.newest is None or old is None or limit is None:
        return _nothing(found, holding.contradicted)
    if old > limit:
        said = (f"{format_age(old)} old, at most {format_age(limit)}", found.describe_doubtful())
        return CheckState.CRITICAL, "; ".join(filter(None, said))
    told = [f"{format_age(old)} old", *_doubts(holding, found, found.newest)]
    return (CheckState.WARNING if told[1:] else CheckState.OK), ", ".join(told)


def _nothing(found: Census, contradicted: Sequence[Stored]) -> tuple[CheckState, str]:
    if found.undated:
        return CheckState.UNKNOWN, f"no manifest tells how old {found.undated[0].name} is"
    if found.ahead:
        return CheckState.CRITICAL, "no snapshot but those dated in the future"
    if contradicted:
        return CheckState.CRITICAL, f"no whole snapshot: {contradicted[0].name} {CONTRADICTED}"
    if found.broken and not found.doubtful:
        return CheckState.CRITICAL, f"no whole snapshot, {len(found.broken)} known to be broken"
    return CheckState.CRITICAL, found.describe_doubtful() or "no snapshot"


def _doubts(holding: Holding, found: Census, newest: Stored) -> list[str]:
    """List the warnings."""
    doubts = []
    if holding.alarm:
        doubts.append(f"retention suspended: {holding.alarm}")
    if found.broken and found.broken[0].taken_at > newest.taken_at:
        doubts.append(f"a later one is known to be broken: {found.broken[0].name}")
    if later := holding.contradicted:
        doubts.append(f"a later one {CONTRADICTED}: {later[0].name}")
    if holding.is_unproved:
        doubts.append(f"{newest.name} has no manifest, so it was never verified")
    if holding.survey.denied and holding.kind in OF_FILES:
        doubts.append(holding.survey.denied)
    if found.ahead:
        doubts.append(f"{found.ahead[0].name} is dated in the future")
    if holding.survey.scrubbed is not None:
        doubts += holding.survey.scrubbed.doubts
    return doubts
