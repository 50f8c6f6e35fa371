"""What one storage contains, by its own listing, and when its next snapshot is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.freshness import (
    Census,
    DueTime,
    census,
    deadline,
    is_ahead,
)
from raft_snapshot_agent.errors import AgentError

if TYPE_CHECKING:  # whoever reads such a note has loaded what it is
    from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
    from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote


class CheckState(IntEnum):
    """The states of Nagios, by their exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


LISTED = 500
"""Most snapshots per storage that are kept in memory, which limits it for many clusters."""
_LONGEST = 86400.0
"""Seconds; a longer duration in a manifest is not plausible."""
_MANIFEST_WITHIN = timedelta(minutes=5)
"""After the request of a snapshot, which is then transferred and stored."""


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
    alarm: str | None = None
    """Why retention is suspended; empty if it is not, `None` if not looked up."""
    took: float = 0.0
    """Seconds until the newest snapshot was stored."""
    denied: str = ""
    """Why the manifest of the newest snapshot may not be read; empty if it may or has none."""
    contradicted: tuple[Stored, ...] = ()
    """Newest snapshots that are not what their manifests describe."""
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

    def noted(self, alarm: str | None, took: float) -> Survey:
        """Return the survey with the content of notes beside the snapshots.

        Arguments:
            alarm: Why retention is suspended; empty if it is not, `None` if not looked up.
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
        """Why retention is suspended; empty if it is not, as far as known."""
        return self.survey.alarm or ""

    @property
    def error(self) -> AgentError | None:
        """Why the last listing failed; `None` if it did not."""
        return self.survey.error

    @property
    def newest(self) -> Stored | None:
        """The newest whole snapshot that is not dated in the future."""
        return None if self.census is None else self.census.newest

    @property
    def contradicted(self) -> tuple[Stored, ...]:
        """Those listed before the newest that are not what their manifests describe."""
        newest = self.newest
        return tuple(
            one
            for one in self.survey.contradicted
            if newest is None or one.taken_at >= newest.taken_at
        )

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
