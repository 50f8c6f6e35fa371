"""Status of one storage: its snapshots, its schedule and its failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.slots import NAMED_TO, ScheduleSpec
from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.core.state.storage_kinds import OF_THIS_HOST
from raft_snapshot_agent.core.state.verdict import Verdict, judge_holding

_USUAL = timedelta(hours=1)
"""Interval of a schedule that is not known."""


@dataclass(frozen=True, slots=True)
class OngoingFailure:
    """A present failure, and since when it lasts."""

    text: str
    since: datetime
    times: int = 1


def still_failing(before: OngoingFailure | None, text: str, at: datetime) -> OngoingFailure:
    """Return the failure with its original start, or a new one.

    Arguments:
        before: The previous failure; `None` if there was none.
        text: The present error.
        at: When it failed.
    """
    if before is None:
        return OngoingFailure(text, at)
    return OngoingFailure(text, before.since, before.times + 1)


def _is_stored_since(failing: OngoingFailure | None, holding: Holding, now: datetime) -> bool:
    """Return whether a storage got the snapshot of this slot after all, in whichever way.

    The answer to an upload was lost, somebody copied it, or another agent stored one.
    """
    newest, due = holding.newest, holding.deadline
    if failing is None or newest is None or due is None or not newest.verified:
        return False
    return newest.taken_at > failing.since - NAMED_TO and due.due > now


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """Status of one storage."""

    name: str
    kind: str
    """The storage's type: `local`, `s3`, ..."""
    required: bool = True
    location: str = ""
    """Address of its snapshots, without credentials."""
    schedule: str = ""
    """Schedule in readable form: `every 1h`."""
    interval: timedelta | None = None
    """Time between the next two slots of its schedule."""
    next_due: datetime | None = None
    retention: Retention | None = None
    """Retention rules; `None` if unknown."""
    zone: tzinfo = UTC
    """Time zone of `retention`."""
    holding: Holding | None = None
    """Content as last listed; `None` before the first listing."""
    listed_at: datetime | None = None
    stored: int = 0
    """Number of snapshots in the last listing."""
    stored_bytes: int = 0
    oldest: datetime | None = None
    last_index: int | None = None
    """Raft index of the newest snapshot, if known."""
    last_success: datetime | None = None
    """When the newest whole snapshot was taken, by this agent or another."""
    failing: OngoingFailure | None = None
    """Why the last upload failed, since the first snapshot that is missing there."""
    uploads: Mapping[str, int] = field(default_factory=dict)
    """Uploads since the start of the agent, by outcome: `ok`, `failed`."""
    pruned: int = 0
    """Snapshots deleted by retention since the start of the agent."""
    warnings: tuple[str, ...] = ()
    """Of the last delivery."""
    alarm: str = ""
    """Why retention is suspended until an operator acknowledges it."""
    configured_at: datetime | None = None
    """Since when this agent serves it; `None` if unknown."""

    @property
    def is_private(self) -> bool:
        """Whether only agents on this host write to it."""
        return self.kind in OF_THIS_HOST

    def is_new(self, now: datetime) -> bool:
        """Return whether no snapshot is due there yet, for the first slot has not passed."""
        if self.configured_at is None:
            return False
        return now < self.configured_at + (self.interval or _USUAL)

    @property
    def scrub_note(self) -> ScrubNote | None:
        """Results of reading its snapshots back; `None` if unknown."""
        return None if self.holding is None else self.holding.survey.scrubbed

    @property
    def has_rot(self) -> bool:
        """Whether snapshots were damaged when read back, or are missing."""
        return self.scrub_note is not None and bool(self.scrub_note.doubts)

    @property
    def snapshots(self) -> tuple[Stored, ...]:
        """The newest snapshots there, newest first."""
        return () if self.holding is None else self.holding.survey.listed

    def judge(self, now: datetime, cluster: str = "") -> Verdict:
        """Return the result of the check of this storage, as in `check`."""
        holding = self.holding or Holding(self.name, self.kind, required=self.required)
        return judge_holding(holding, now, cluster=cluster)

    def with_survey(self, survey: Survey, timing: ScheduleSpec, at: datetime) -> StorageStatus:
        """Return the status after a listing.

        Arguments:
            survey: Result of the listing.
            timing: Schedule of the storage.
            at: Time of the listing.
        """
        before = self.holding or Holding(self.name, self.kind, required=self.required)
        if survey.error is not None:
            survey = replace(before.survey, error=survey.error)
        if survey.alarm is None:
            survey = replace(survey, alarm=before.survey.alarm)
        if survey.scrubbed is None:
            survey = replace(survey, scrubbed=before.survey.scrubbed)
        if survey.drill is None:
            survey = replace(survey, drill=before.survey.drill)
        holding = before.with_survey(survey, timing)
        if survey.error is not None or survey.census is None:
            return replace(self, holding=holding)
        return replace(
            self._with_newest(holding),
            listed_at=at,
            stored=survey.count,
            stored_bytes=survey.size,
            oldest=survey.oldest,
            failing=None if _is_stored_since(self.failing, holding, at) else self.failing,
            alarm=holding.alarm,
        )

    def as_of(self, now: datetime) -> StorageStatus:
        """Return the status as it is judged at a time, as in `Holding.as_of`."""
        holding = self.holding and self.holding.as_of(now)
        return self if holding is None or holding is self.holding else self._with_newest(holding)

    def _with_newest(self, holding: Holding) -> StorageStatus:
        newest = holding.newest
        return replace(
            self,
            holding=holding,
            last_index=None if newest is None else newest.index,
            last_success=None if newest is None else newest.taken_at,
        )

    def scrubbed(self, note: ScrubNote) -> StorageStatus:
        """Return the status after snapshots were read back."""
        if self.holding is None:
            return self
        survey = replace(self.holding.survey, scrubbed=note)
        return replace(self, holding=replace(self.holding, survey=survey))

    def delivered(self, result: Delivery, taken_at: datetime) -> StorageStatus:
        """Return the status after a finished upload.

        Arguments:
            result: Result of the upload.
            taken_at: When the snapshot was requested.
        """
        outcome = "failed" if result.error else "ok"
        pruned = self.pruned + len(result.deleted)
        uploads = dict(Counter(self.uploads) + Counter({outcome: 1}))
        if result.error is not None:
            failing = still_failing(self.failing, str(result.error), taken_at)
            return replace(self, uploads=uploads, failing=failing, pruned=pruned)
        return replace(
            self,
            uploads=uploads,
            failing=None,
            last_success=taken_at,
            pruned=pruned,
            warnings=result.warnings,
            alarm=result.alarm,
        )
