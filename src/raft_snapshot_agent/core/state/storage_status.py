"""How one storage stands: what it holds, when it gets more, and what fails there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.history.scrub_note import ScrubNote
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import Holding, Survey, Verdict, judge_holding
from raft_snapshot_agent.core.state.report import StorageResult


@dataclass(frozen=True, slots=True)
class OngoingFailure:
    """What is wrong now, and since when."""

    text: str
    since: datetime
    times: int = 1


def still_failing(before: OngoingFailure | None, text: str, at: datetime) -> OngoingFailure:
    """Return a failure that lasts, or begins.

    Arguments:
        before: What failed there last; nothing: all was well.
        text: Why it fails now.
        at: When it failed.
    """
    if before is None:
        return OngoingFailure(text, at)
    return OngoingFailure(text, before.since, before.times + 1)


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """How one storage stands."""

    name: str
    kind: str
    """The storage's type: `local`, `s3`, ..."""
    required: bool = True
    location: str = ""
    """Where its snapshots lie, without credentials."""
    schedule: str = ""
    """As the configuration has it: `every 1h`."""
    interval: timedelta | None = None
    """Between the next two slots of its schedule."""
    next_due: datetime | None = None
    retention: Retention | None = None
    """By which snapshots stay; nothing: it is not known."""
    zone: tzinfo = UTC
    """Where the days of `retention` begin."""
    holding: Holding | None = None
    """As it was listed last; nothing before the first time."""
    listed_at: datetime | None = None
    stored: int = 0
    """How many snapshots the last listing had."""
    stored_bytes: int = 0
    oldest: datetime | None = None
    last_index: int | None = None
    """Raft index of the newest snapshot, where it is known."""
    last_success: datetime | None = None
    """When the newest whole snapshot there was taken, by this agent or another."""
    failing: OngoingFailure | None = None
    """Why the last delivery failed."""
    uploads: Mapping[str, int] = field(default_factory=dict)
    """Deliveries since the agent began, by outcome: `ok`, `failed`."""
    pruned: int = 0
    """Snapshots that retention deleted since the agent began."""
    warnings: tuple[str, ...] = ()
    """Of the last delivery."""
    alarm: str = ""
    """Why it is not pruned until an operator says so."""

    @property
    def scrub_note(self) -> ScrubNote | None:
        """What was found when its snapshots were read back; nothing: nobody knows."""
        return None if self.holding is None else self.holding.survey.scrubbed

    @property
    def has_rot(self) -> bool:
        """Whether snapshots were rotten when they were read back, or are gone."""
        return self.scrub_note is not None and bool(self.scrub_note.doubts)

    @property
    def snapshots(self) -> tuple[Stored, ...]:
        """The newest snapshots there, newest first."""
        return () if self.holding is None else self.holding.survey.listed

    def judge(self, now: datetime, cluster: str = "") -> Verdict:
        """Return whether it holds what it should: the words of `check`."""
        holding = self.holding or Holding(self.name, self.kind, required=self.required)
        return judge_holding(holding, now, cluster=cluster)

    def surveyed(self, survey: Survey, timing: ScheduleSpec, at: datetime) -> StorageStatus:
        """Return it after a look at what it holds.

        Arguments:
            survey: What was found.
            timing: When it is to get snapshots.
            at: When that was.
        """
        before = self.holding or Holding(self.name, self.kind, required=self.required)
        if survey.scrubbed is None:
            survey = replace(survey, scrubbed=before.survey.scrubbed)
        if survey.drill is None:
            survey = replace(survey, drill=before.survey.drill)
        holding = before.surveyed(survey, timing)
        if holding.census is None:
            return replace(self, holding=holding)
        newest = holding.newest
        return replace(
            self,
            holding=holding,
            listed_at=at,
            stored=survey.count,
            stored_bytes=survey.size,
            oldest=survey.oldest,
            last_index=None if newest is None else newest.index,
            last_success=None if newest is None else newest.taken_at,
            alarm=survey.alarm,
        )

    def scrubbed(self, note: ScrubNote) -> StorageStatus:
        """Return it after snapshots of it were read back."""
        if self.holding is None:
            return self
        survey = replace(self.holding.survey, scrubbed=note)
        return replace(self, holding=replace(self.holding, survey=survey))

    def delivered(self, result: StorageResult, at: datetime, taken_at: datetime) -> StorageStatus:
        """Return it after a delivery that ended.

        Arguments:
            result: What came of it.
            at: When it ended.
            taken_at: When the snapshot was asked for.
        """
        outcome = "failed" if result.error else "ok"
        uploads = dict(Counter(self.uploads) + Counter({outcome: 1}))
        if result.error is not None:
            return replace(
                self, uploads=uploads, failing=still_failing(self.failing, str(result.error), at)
            )
        return replace(
            self,
            uploads=uploads,
            failing=None,
            last_success=taken_at,
            pruned=self.pruned + len(result.deleted),
            warnings=result.warnings,
            alarm=result.alarm,
        )
