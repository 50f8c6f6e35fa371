"""What one storage holds at a moment, by its own listing, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import MINYEAR, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.freshness import Census, DueTime, age, census, deadline
from raft_snapshot_agent.core.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshot import Stored
from raft_snapshot_agent.core.spans import span
from raft_snapshot_agent.errors import AgentError

if TYPE_CHECKING:  # whoever reads such a note has loaded what it is
    from raft_snapshot_agent.core.drill_note import DrillNote
    from raft_snapshot_agent.core.scrub_note import ScrubNote


class CheckState(IntEnum):
    """The states of Nagios, by their exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


LISTED = 500
"""Snapshots of one storage that are remembered one by one: five hundred clusters have as many."""
_LONGEST = 86400.0
"""Seconds; no snapshot takes longer, whatever its manifest says."""
_WORST_FIRST = (CheckState.CRITICAL, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at a storage found."""

    census: Census | None = None
    """Nothing where it could not be listed."""
    count: int = 0
    """Of all snapshots there, whatever they are worth."""
    size: int = 0
    """Bytes of all of them."""
    oldest: datetime | None = None
    """When the first of those whose time is known was taken."""
    alarm: str = ""
    """Why it is not pruned; empty: it is."""
    took: float = 0.0
    """Seconds that the newest took to be stored."""
    scrubbed: ScrubNote | None = None
    """What was found when snapshots were read back; nothing: it was not looked up."""
    drill: DrillNote | None = None
    """Of the last drill that is noted there; nothing: none is, or it was not looked up."""
    error: AgentError | None = None
    """Why it could not be listed."""
    listed: tuple[Stored, ...] = ()
    """The newest of them, newest first, for whoever is shown them; `LISTED` at most."""

    @classmethod
    def of(cls, stored: Sequence[Stored], now: datetime) -> Survey:
        """Sum up a listing.

        Arguments:
            stored: The snapshots there, newest first.
            now: The present time.
        """
        return cls(
            census(stored, now),
            len(stored),
            sum(one.size for one in stored),
            min((one.taken_at for one in stored if one.taken_at.year > MINYEAR), default=None),
            listed=tuple(stored[:LISTED]),
        )

    def after(self, sent: Stored, now: datetime) -> Survey:
        """Return it after another snapshot was stored, where nothing is listed anew.

        Arguments:
            sent: The snapshot.
            now: The present time.
        """
        if self.census is None:
            return Survey.of((sent,), now)
        newer = replace(self.census, newest=sent, whole=self.census.whole + 1)
        return replace(
            self,
            census=newer,
            count=self.count + 1,
            size=self.size + sent.size,
            listed=(sent, *self.listed)[:LISTED],
        )

    def noted(self, alarm: str, took: float) -> Survey:
        """Return it with what notes beside the snapshots say.

        Arguments:
            alarm: Why the storage is not pruned; empty: it is.
            took: Seconds that the newest took; what makes no sense counts as none.
        """
        return replace(self, alarm=alarm, took=took if 0 <= took <= _LONGEST else 0.0)


@dataclass(frozen=True, slots=True)
class Holding:
    """One storage as it was found, and by when it must hold more."""

    storage: str
    kind: str
    """The storage's type: `local`, `s3`, ..."""
    required: bool = True
    """Whether a failure here is a failure of the run."""
    prunes: bool = True
    """Whether this agent deletes there; its credentials may be for writing only."""
    survey: Survey = Survey()
    deadline: DueTime | None = None
    """Nothing where there is no snapshot to count from."""

    def surveyed(self, survey: Survey, timing: ScheduleSpec) -> Holding:
        """Return it after another look.

        Arguments:
            survey: What was found.
            timing: When it is to get snapshots.
        """
        newest = None if survey.census is None else survey.census.newest
        due = None if newest is None else deadline(timing, newest.taken_at, survey.took)
        return replace(self, survey=survey, deadline=due)

    @property
    def census(self) -> Census | None:
        """The snapshots by what they are worth; nothing where it could not be listed."""
        return self.survey.census

    @property
    def alarm(self) -> str:
        """Why it is not pruned; empty: it is."""
        return self.survey.alarm

    @property
    def error(self) -> AgentError | None:
        """Why it could not be listed."""
        return self.survey.error

    @property
    def newest(self) -> Stored | None:
        """The newest whole snapshot whose date can be believed."""
        return None if self.census is None else self.census.newest


@dataclass(frozen=True, slots=True)
class Verdict:
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


def judge_holding(
    holding: Holding, now: datetime, max_age: timedelta | None = None, cluster: str = ""
) -> Verdict:
    """Return what one storage comes to.

    Arguments:
        holding: The storage as it was found.
        now: The present time.
        max_age: How old its newest snapshot may be; by its schedule when missing.
        cluster: Whose snapshots they are.
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
    """Return the place of a state, the worst first: late comes before what cannot be asked."""
    return _WORST_FIRST.index(state)


def overall(verdicts: Sequence[Verdict]) -> CheckState:
    """Return the worst state; unknown where there is nothing to judge."""
    return min((one.state for one in verdicts), key=rank, default=CheckState.UNKNOWN)


def _state(
    holding: Holding, old: timedelta | None, limit: timedelta | None
) -> tuple[CheckState, str]:
    found = holding.census
    if found is None:
        why = "its snapshots were not listed yet" if holding.error is None else str(holding.error)
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
    if holding.alarm:
        doubts.append(f"retention suspended: {holding.alarm}")
    if found.broken and found.broken[0].taken_at > newest.taken_at:
        doubts.append(f"a later one is known to be broken: {found.broken[0].name}")
    if not newest.verified:
        doubts.append(f"{newest.name} has no manifest, so it was never verified")
    if found.ahead:
        doubts.append(f"{found.ahead[0].name} is dated in the future")
    if holding.survey.scrubbed is not None:
        doubts += holding.survey.scrubbed.doubts
    return doubts
