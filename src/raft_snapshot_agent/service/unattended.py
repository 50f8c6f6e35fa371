"""Logs when snapshots are overdue and no agent takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.schedules.timetable import ScheduleSpec
from raft_snapshot_agent.core.state.overdue import Overdue, find_overdue
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log

_AGAIN = timedelta(hours=1)
_CHECK = "check that an agent runs beside the leader and can store, or set run_on: anywhere"
_UNSEEN = (
    "the folders of other hosts cannot be seen from here: check the agent beside the leader,"
    " and add a storage that all agents share"
)


class Unattended:
    """A cluster without snapshots while this agent stands by: when it begins, lasts and ends."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._since: datetime | None = None
        """When this agent began to stand by."""
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
        """Log an error where the storages hold no snapshot young enough.

        Arguments:
            timings: Of each storage.
            taken: When the snapshots were taken that each one lists.
            now: The present time.
            why: Why this agent takes none.
            private: The storages in which other agents' snapshots cannot be seen. Where there is
                no other, it is said once only: it may well be that another agent works.
        """
        self._since = self._since or now
        shared = {name: timing for name, timing in timings.items() if name not in private}
        if not taken:
            return
        found = find_overdue(shared or timings, taken, self._since, now)
        if found is None:
            self._tell_end(now)
            return
        self._found = self._found or found
        if self._told_at is None or (shared and now - self._told_at >= _AGAIN):
            self._told_at = now
            self._log.error(
                f"{_describe(found, now)} ({_CHECK if shared else _UNSEEN})",
                fact=LogEvent.NOBODY_WORKS,
                reason=why,
            )

    def note_own_snapshot(self, now: datetime) -> None:
        """Note that this agent stored a snapshot itself."""
        self._tell_end(now)
        self._since = None

    def _tell_end(self, now: datetime) -> None:
        if self._found is not None:
            late = format_duration(_drop_fraction(now - self._found.due))
            what = f"Snapshots of this cluster are stored again; one was {late} overdue."
            self._log.info(what, fact=LogEvent.SOMEBODY_WORKS)
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
    return timedelta(seconds=int(duration.total_seconds()))
