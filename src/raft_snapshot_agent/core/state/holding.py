"""What one storage contains, by its own listing, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.spans import span
from raft_snapshot_agent.core.state.freshness import (
    Census,
    DueTime,
    age,
    census,
    deadline,
    is_ahead,
)
from raft_snapshot_agent.errors import AgentError

if TYPE_CHECKING:  # whoever reads such a note has loaded what it is
    from raft_snapshot_agent.core.history.scrub_note import ScrubNote
    from raft_snapshot_agent.core.snapshots.drill_note import DrillNote


class CheckState(IntEnum):
    """The states of Nagios, by their exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


OF_FILES = {"local", "sftp"}
"""Storages in which each file has its own permissions; elsewhere credentials may lack a right."""
LISTED = 500
"""Most snapshots per storage that are kept in memory, which limits it for many clusters."""
_LONGEST = 86400.0
"""Seconds; a longer duration in a manifest is not plausible."""
_MANIFEST_WITHIN = timedelta(minutes=5)
"""After the request of a snapshot, which is then transferred and stored."""
_WORST_FIRST = (CheckState.CRITICAL, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK)


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of listing a storage: of the last listing that succeeded, if the last one failed."""

    census: Census | None = None
    """The census; `None` if it was never listed."""
    count: int = 0
    """Number of all snapshots there, usable or not."""
    size: int = 0
    """Total bytes of all snapshots."""
    oldest: datetime | None = None
    """Time of the oldest snapshot, if known."""
    alarm: str = ""
    """Why retention is suspended; empty if it is not."""
    took: float = 0.0
    """Seconds until the newest snapshot was stored."""
    denied: str = ""
    """Why the manifest of the newest snapshot may not be read; empty if it may or has none."""
    scrubbed: ScrubNote | None = None
    """Result of reading snapshots back; `None` if not looked up."""
    drill: DrillNote | None = None
    """Note of the last drill; `None` if there is none or it was not looked up."""
    error: AgentError | None = None
    """Why the last listing failed; `None` if it did not."""
    listed: tuple[Stored, ...] = ()
    """The newest snapshots, newest first, for display; at most `LISTED`."""
    at: datetime | None = None
    """When it was listed."""

    @classmethod
    def of(cls, stored: Sequence[Stored], now: datetime) -> Survey:
        """Summarise a listing.

        Arguments:
            stored: The snapshots there, newest first.
            now: The present time.
        """
        return cls(
            census(stored, now),
            len(stored),
            sum(one.size for one in stored),
            min((one.taken_at for one in stored if one.dated), default=None),
            listed=tuple(stored[:LISTED]),
            at=now,
        )

    def after(self, sent: Stored, now: datetime) -> Survey:
        """Return the survey after another snapshot was stored, without a new listing.

        Arguments:
            sent: The stored snapshot.
            now: The present time.
        """
        if self.census is None:
            return Survey.of((sent,), now)
        newer = replace(self.census, newest=sent, whole=self.census.whole + 1)
        return replace(
            self,
            census=newer,
            error=None,
            count=self.count + 1,
            size=self.size + sent.size,
            listed=(sent, *self.listed)[:LISTED],
        )

    def noted(self, alarm: str, took: float) -> Survey:
        """Return the survey with the content of notes beside the snapshots.

        Arguments:
            alarm: Why retention is suspended; empty if it is not.
            took: Seconds until the newest was stored; implausible values count as zero.
        """
        return replace(self, alarm=alarm, took=took if 0 <= took <= _LONGEST else 0.0)


@dataclass(frozen=True, slots=True)
class Holding:
    """The content of one storage, and when its next snapshot is due."""

    storage: str
    kind: str
    """The storage's type: `local`, `s3`, ..."""
    required: bool = True
    """Whether a failure of this storage is a failure of the run."""
    prunes: bool = True
    """Whether this agent deletes old snapshots there."""
    survey: Survey = Survey()
    deadline: DueTime | None = None
    """When the next snapshot is due; `None` without a known snapshot to count from."""
    timing: ScheduleSpec | None = None
    """Schedule of the storage; `None` before the first listing."""

    def with_survey(self, survey: Survey, timing: ScheduleSpec) -> Holding:
        """Return the holding after another listing.

        Arguments:
            survey: Result of the listing.
            timing: Schedule of the storage.
        """
        due, found = self.deadline, survey.census
        if found is not None:
            newest = found.newest
            due = None if newest is None else deadline(timing, newest.taken_at, survey.took)
        return replace(self, survey=survey, deadline=due, timing=timing)

    def as_of(self, now: datetime) -> Holding:
        """Return the holding as it is judged at a time.

        If the wall clock was set back since the listing, the newest snapshot may be in the future.
        """
        if self.timing is None or self.newest is None or not is_ahead(self.newest.taken_at, now):
            return self
        survey = replace(self.survey, census=census(self.survey.listed, now))
        return self.with_survey(survey, self.timing)

    @property
    def census(self) -> Census | None:
        """The snapshots by usability, as last listed; `None` if it was never listed."""
        return self.survey.census

    @property
    def alarm(self) -> str:
        """Why retention is suspended; empty if it is not."""
        return self.survey.alarm

    @property
    def error(self) -> AgentError | None:
        """Why the last listing failed; `None` if it did not."""
        return self.survey.error

    @property
    def newest(self) -> Stored | None:
        """The newest whole snapshot that is not dated in the future."""
        return None if self.census is None else self.census.newest

    @property
    def is_unproved(self) -> bool:
        """Whether the newest snapshot has no manifest, and had time to get one when listed.

        The manifest is written after the snapshot: another agent may be about to do that.
        """
        newest, due, at = self.newest, self.deadline, self.survey.at
        if newest is None or newest.verified:
            return False
        if due is None or at is None:
            return True
        return at - newest.taken_at >= min(_MANIFEST_WITHIN, (due.due - newest.taken_at) / 2)


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
        return _nothing(found)
    if old > limit:
        said = (f"{span(old)} old, at most {span(limit)}", found.describe_doubtful())
        return CheckState.CRITICAL, "; ".join(filter(None, said))
    told = [f"{span(old)} old", *_doubts(holding, found, found.newest)]
    return (CheckState.WARNING if told[1:] else CheckState.OK), ", ".join(told)


def _nothing(found: Census) -> tuple[CheckState, str]:
    if found.undated:
        return CheckState.UNKNOWN, f"no manifest tells how old {found.undated[0].name} is"
    if found.ahead:
        return CheckState.CRITICAL, "no snapshot but those dated in the future"
    if found.broken and not found.doubtful:
        return CheckState.CRITICAL, f"no whole snapshot, {len(found.broken)} known to be broken"
    return CheckState.CRITICAL, found.describe_doubtful() or "no snapshot"


def _doubts(holding: Holding, found: Census, newest: Stored) -> list[str]:
    """List the warnings."""
    doubts = [f"retention suspended: {holding.alarm}"] if holding.alarm else []
    if found.broken and found.broken[0].taken_at > newest.taken_at:
        doubts.append(f"a later one is known to be broken: {found.broken[0].name}")
    if holding.is_unproved:
        doubts.append(f"{newest.name} has no manifest, so it was never verified")
    if holding.survey.denied and holding.kind in OF_FILES:
        doubts.append(holding.survey.denied)
    if found.ahead:
        doubts.append(f"{found.ahead[0].name} is dated in the future")
    scrubbed = holding.survey.scrubbed
    return doubts if scrubbed is None else doubts + scrubbed.doubts
