"""Publish the status of one cluster on the board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from time import monotonic

from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.drill_status import DrillSchedule
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Delivery, Report
from raft_snapshot_agent.core.state.status import Activity, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import describe_unlisted
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.progress import Progress
from raft_snapshot_agent.service.active_cluster import ActiveCluster


def describe(
    service: ActiveCluster, now: datetime, before: ClusterStatus | None = None
) -> ClusterStatus:
    """Return the status of a cluster as far as its configuration tells it.

    Arguments:
        service: Its configuration and objects.
        now: The present time.
        before: Its status under the previous configuration, which is kept.
    """
    known = {} if before is None else {one.name: one for one in before.storages}
    timings = service.timings()
    storages = tuple(
        _describe_storage(one, timings[one.name], now, known.get(one.name))
        for one in service.agent.destinations
    )
    base = before or ClusterStatus(service.name)
    return replace(
        base,
        storages=storages,
        shared=service.shared,
        disabled="",
        heartbeat=now,
        drills=None if service.drills is None else base.drills or DrillSchedule(),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """The problems of storages that a change of the status has ended."""

    failures: tuple[str, ...] = ()
    """The storages that fail no longer."""
    alarms: tuple[str, ...] = ()
    """The storages whose alarm was acknowledged."""


class StatusPublisher:
    """Publishes the status of one cluster's loop."""

    def __init__(
        self, service: ActiveCluster, board: StatusBoard, clock: Callable[[], datetime]
    ) -> None:
        """Prepare without publishing.

        Arguments:
            service: The cluster's configuration and objects; may be replaced.
            board: Where the status is published.
            clock: Returns the present time.
        """
        self.service = service
        self._board = board
        self._clock = clock
        self._beat = monotonic()

    def beat(self) -> None:
        """Record that the loop is alive."""
        self._beat = monotonic()

    def plan(self, state: ScheduleState) -> None:
        """Publish the next due times."""

        def change(status: ClusterStatus) -> ClusterStatus:
            storages = tuple(
                replace(one, next_due=state.lines[one.name].due) if one.name in state.lines else one
                for one in status.storages
            )
            return replace(status, storages=storages, next_due=state.next_due)

        self._publish(change)

    def set_back(self) -> None:
        """Forget what is dated in the future, as the wall clock was set back."""
        now = self._clock()
        self._publish(lambda status: status.as_of(now))

    def survey(self, surveys: Mapping[str, Survey]) -> Ended:
        """Publish the content of the storages.

        Arguments:
            surveys: The result for each storage.
        """
        return self._publish_end(lambda status: self._with_surveys(status, surveys))

    def begin(self) -> None:
        """Publish that a run has begun."""
        now = self._clock()
        self._publish(lambda status: replace(status, activity=Activity("", now)))

    def end(self, report: Report) -> Ended:
        """Publish the result of a run."""

        def change(status: ClusterStatus) -> ClusterStatus:
            ended = status.ended(report)
            results = {one.storage: one for one in report.deliveries if one.error is None}
            surveys = {
                one.name: _find_survey(one, results[one.name], report)
                for one in ended.storages
                if one.name in results
            }
            return self._with_surveys(ended, surveys)

        return self._publish_end(change)

    def served_by_another(self) -> Ended:
        """Publish that another agent stored what this agent could not."""
        return self._publish_end(lambda status: status.served_by_another())

    @property
    def awaits_operator(self) -> bool:
        """Whether a command by hand may end a problem, and nothing else looks for that."""
        if (status := self._board.find(self.service.name)) is None:
            return False
        return status.has_alarm or (self.service.drills is None and status.lacks_drill)

    def login(self, refused: str) -> None:
        """Publish why a new login would fail; empty: it would not."""
        self._publish(lambda status: replace(status, login_failing=refused))

    def measure_by(self, progress: Progress, cluster: str | None = None) -> None:
        """Make values available that change without an event.

        Arguments:
            progress: The progress of the present run.
            cluster: The cluster that shows them; `None`: its own.
        """
        shown = self.service.name if cluster is None else cluster
        self._board.measure(shown, lambda status: self._measure(status, progress))

    def changed(self) -> None:
        """Notify readers that a value changed which they look up themselves."""
        self._publish(lambda status: status)

    def _publish_end(self, change: Callable[[ClusterStatus], ClusterStatus]) -> Ended:
        ended = Ended()

        def compare(status: ClusterStatus) -> ClusterStatus:
            nonlocal ended
            after = change(status)
            ended = _find_ended(status, after)
            return after

        self._publish(compare)
        return ended

    def _publish(self, change: Callable[[ClusterStatus], ClusterStatus]) -> None:
        self._board.change(self.service.name, change)

    def _with_surveys(self, status: ClusterStatus, surveys: Mapping[str, Survey]) -> ClusterStatus:
        timings, now = self.service.timings(), self._clock()
        storages = tuple(
            one.with_survey(surveys[one.name], timings[one.name], now)
            if one.name in surveys and one.name in timings
            else one
            for one in status.storages
        )
        return replace(status, storages=storages).recalled(now)

    def _measure(self, status: ClusterStatus, progress: Progress) -> ClusterStatus:
        agent, now = self.service.agent, self._clock()
        running = status.activity
        idle = progress.idle if progress.is_going else monotonic() - self._beat
        return replace(
            status,
            activity=running
            and replace(running, run_id=agent.present_run, received=agent.received),
            lease=None if agent.lease is None else _describe_lease(agent.lease),
            token_expires_at=_add(now, agent.cluster.session.seconds_to_end()),
            heartbeat=now - timedelta(seconds=idle),
            stuck=progress.stuck,
            spool_free=agent.spool.free,
        )


def _describe_storage(
    destination: Destination, timing: ScheduleSpec, now: datetime, before: StorageStatus | None
) -> StorageStatus:
    kind, location = destination.storage.kind, destination.storage.location("")
    slot = timing.schedule.following(now, now).at
    new = StorageStatus(destination.name, kind, configured_at=now)
    known = before or new
    if known.location != location:  # what is known is the content of another place
        known = replace(new, uploads=known.uploads, pruned=known.pruned)
    survey = Survey() if known.holding is None else known.holding.survey
    return replace(
        known,
        kind=kind,
        required=destination.required,
        holding=describe_unlisted(destination).with_survey(survey, timing),
        location=location,
        schedule=str(timing.schedule),
        retention=destination.retention,
        zone=destination.zone,
        interval=timing.schedule.following(slot, slot).at - slot,
    )


def _find_ended(before: ClusterStatus, after: ClusterStatus) -> Ended:
    pairs = [*zip(before.storages, after.storages, strict=True)]
    return Ended(
        tuple(now.name for was, now in pairs if was.failing and not now.failing),
        tuple(now.name for was, now in pairs if was.alarm and not now.alarm),
    )


def _describe_lease(lease: Lease) -> LeaseStatus:
    held = lease.held_lease is not None
    return LeaseStatus(lease.location, lease.holder, held, str(lease.trouble or ""))


def _find_survey(storage: StorageStatus, result: Delivery, report: Report) -> Survey:
    """Return the content of a storage after a delivery, without the listing where there is none."""
    known = Survey() if storage.holding is None else storage.holding.survey
    before = replace(known, alarm=result.alarm)
    if result.survey is not None or report.snapshot is None:
        return result.survey or before
    name = result.location.rpartition("/")[2]
    sent = Stored(name, report.started_at, report.snapshot.size, verified=True)
    return before.after(sent, report.finished_at)


def _add(now: datetime, seconds: float) -> datetime | None:
    return now + timedelta(seconds=seconds) if isfinite(seconds) else None
