"""Log when snapshots are overdue and no agent takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from raft_snapshot_agent.core.ages import is_within
from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.state.overdue import Overdue, find_overdue
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.run_log import Journal

_AGAIN = timedelta(hours=1)
_CHECK = "check that an agent runs beside the leader and can store, or set run_on: anywhere"
_UNSEEN = (
    "this agent cannot see folders on other hosts: check the agent beside the leader,"
    " and add a storage that all agents share"
)


class Unattended:
    """Detects a cluster without new snapshots while this agent is standby, and logs it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since: datetime | None = None
        """When this agent became standby."""
        self._looked_at: datetime | None = None
        self._found: Overdue | None = None
        self._told_at: datetime | None = None

    def look(
        self,
        timings: Mapping[str, ScheduleSpec],
        taken: Mapping[str, Iterable[datetime]],
        now: datetime,
        why: str,
        private: Collection[str],
    ) -> None:
        """Log an error if the newest snapshot in the storages is too old.

        Arguments:
            timings: The schedule of each storage.
            taken: When the snapshots in each storage were taken.
            now: The present time.
            why: Why this agent takes no snapshots.
            private: Storages in which this agent cannot see snapshots of other agents. If there
                are only such, it is logged only once: another agent may be working.
        """
        self._since = self._since or now
        if self._looked_at is not None and now < self._looked_at:  # the wall clock was set back
            self._since -= self._looked_at - now
        self._looked_at = now
        shared = {name: timing for name, timing in timings.items() if name not in private}
        if not taken:
            return
        found = find_overdue(shared or timings, taken, self._since, now)
        if found is None:
            self._tell_end(now)
            return
        self._found = self._found or found
        if self._told_at is None or (shared and not is_within(self._told_at, _AGAIN, now)):
            self._told_at = now
            self._journal.log.error(
                f"{_describe(found, now)} ({_CHECK if shared else _UNSEEN})",
                fact=LogEvent.NOBODY_WORKS,
                reason=why,
            )

    def note_own_snapshot(self, now: datetime) -> None:
        """Record that this agent stored a snapshot."""
        self._tell_end(now)
        self._since = None

    def _tell_end(self, now: datetime) -> None:
        if self._found is not None:
            late = format_duration(_drop_fraction(now - self._found.due))
            what = f"Snapshots of this cluster are stored again; one was {late} overdue."
            self._journal.log.info(what, fact=LogEvent.SOMEBODY_WORKS)
        self._found = self._told_at = None


def _describe(found: Overdue, now: datetime) -> str:
    late = format_duration(_drop_fraction(now - found.due))
    newest = "there is none"
    if found.newest is not None:
        newest = f"the newest is of {_format_time(found.newest)}"
    return f"A snapshot of this cluster is {late} overdue and no agent takes it: {newest}"


def _format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _drop_fraction(duration: timedelta) -> timedelta:
    return timedelta(seconds=max(0, int(duration.total_seconds())))
