"""Decides when alerts are sent: grouped by event, repeated, and once more when they end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from raft_snapshot_agent.core.ages import is_within
from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent, Wishes
from raft_snapshot_agent.core.alarms.alerts import (
    Alert,
    AlertKey,
    find_alerts,
    is_configured,
    is_over,
)
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus

GROUP_PAUSE = timedelta(minutes=5)
"""Shortest interval between two messages about one event, for any number of alerts."""
FORGOTTEN_AFTER = timedelta(days=1)
"""An ended alert that could not be sent for this long is dropped."""
MOST_RECORDS = 2000
_UNWATCHED = "no longer watched, as it is not in the configuration any more; the last state was"
"""Reason of an end which is none of the problem itself."""
_OF_OUTCOME = {
    Outcome.OK: AlertEvent.SUCCESS,
    Outcome.PARTIAL: AlertEvent.PARTIAL,
    Outcome.FAILED: AlertEvent.FAILED,
}


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert, and what was sent about it."""

    alert: Alert
    seen: datetime
    """When it was first found."""
    told: datetime | None = None
    ended: datetime | None = None
    """When it ended; `None` while it lasts."""


@dataclass(frozen=True, slots=True)
class RunNote:
    """The start or end of a run, to be sent once."""

    event: AlertEvent
    cluster: str
    run_id: str
    at: datetime
    text: str = ""
    """Why it failed."""
    index: int | None = None
    """Raft index of the snapshot."""
    size: int | None = None
    """Bytes of the snapshot."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One message: alerts of one event, or a run."""

    event: AlertEvent
    at: datetime
    records: tuple[AlertRecord, ...] = ()
    run: RunNote | None = None

    @property
    def keys(self) -> frozenset[AlertKey]:
        """Keys of all alerts in the message."""
        return frozenset(one.alert.key for one in self.records)

    @property
    def id(self) -> str:
        """ID of the message, the same for all attempts to deliver it."""
        told = [(*one.alert.key, one.alert.since, one.told, one.ended) for one in self.records]
        parts = (self.event, told, self.run and (self.run.cluster, self.run.run_id))
        return f"msg_{sha256(repr(parts).encode()).hexdigest()[:32]}"

    @property
    def is_over(self) -> bool:
        """Whether all alerts in the message have ended."""
        return self.run is None and all(one.ended is not None for one in self.records)


@dataclass(frozen=True, slots=True)
class NoticeMemory:
    """What one notifier has sent, and what is still to be sent."""

    records: Mapping[AlertKey, AlertRecord] = field(default_factory=dict)
    sent: Mapping[AlertEvent, datetime] = field(default_factory=dict)
    """When the last message about each event was sent."""
    runs: tuple[RunNote, ...] = ()
    """Unsent starts and ends of runs, at most one of each per cluster."""
    begun: Mapping[str, str] = field(default_factory=dict)
    """Per cluster, the last run whose start was noted."""
    ended: Mapping[str, str] = field(default_factory=dict)
    """Per cluster, the last run whose end was noted."""


def observe(memory: NoticeMemory, status: AgentStatus, wishes: Wishes) -> NoticeMemory:
    """Return the memory updated by the present status."""
    clusters = tuple(
        one for one in status.clusters if not wishes.clusters or one.name in wishes.clusters
    )
    seen = replace(status, clusters=clusters)
    alerts = find_alerts(seen)
    looked = _observe_runs(memory, seen, alerts, wishes.of_runs)
    return replace(looked, records=_observe_alerts(memory, seen, alerts, wishes))


def due_notices(memory: NoticeMemory, wishes: Wishes, now: datetime) -> tuple[Notice, ...]:
    """List the messages to send now, the most severe event first."""
    runs = [Notice(one.event, now, run=one) for one in memory.runs]
    groups = [_group(memory, event, wishes, now) for event in CONDITIONS if event in wishes.lasting]
    return (*runs, *(one for one in groups if one is not None))


def after_delivery(memory: NoticeMemory, notice: Notice, now: datetime) -> NoticeMemory:
    """Return the memory after a message was delivered."""
    if notice.run is not None:
        return replace(memory, runs=tuple(one for one in memory.runs if one != notice.run))
    told = notice.keys
    records = {
        key: replace(one, told=now) if key in told else one
        for key, one in memory.records.items()
        if key not in told or one.ended is None
    }
    return replace(memory, records=records, sent={**memory.sent, notice.event: now})


def _observe_alerts(
    memory: NoticeMemory, status: AgentStatus, alerts: Collection[Alert], wishes: Wishes
) -> dict[AlertKey, AlertRecord]:
    now = status.at
    found = {one.key: one for one in alerts if one.event in wishes.lasting}
    records: dict[AlertKey, AlertRecord] = {}
    for key, record in memory.records.items():
        if key[0] not in wishes.lasting:
            continue
        alert = found.get(key)
        if alert is not None:
            records[key] = _continue(record, alert)
        elif kept := _keep_record(record, wishes, status):
            records[key] = kept
    for key, alert in found.items():
        if key not in records and not alert.muted and len(records) < MOST_RECORDS:
            records[key] = AlertRecord(alert, now)
    return records


def _continue(record: AlertRecord, alert: Alert) -> AlertRecord:
    """Return the record of an alert that is found again.

    It keeps its beginning, which a restart forgets. After an end, or where a warning has become
    critical, it is a new one; of the latter nobody was told yet.
    """
    is_worse = alert.critical and not record.alert.critical
    if record.ended is None and not is_worse:
        alert = replace(alert, since=min(alert.since, record.alert.since))
    return replace(record, alert=alert, told=None if is_worse else record.told, ended=None)


def _keep_record(record: AlertRecord, wishes: Wishes, status: AgentStatus) -> AlertRecord | None:
    """Return the record of an alert that is no longer found; `None` to drop it."""
    now, alert = status.at, record.alert
    if record.ended is not None:
        return record if is_within(record.ended, FORGOTTEN_AFTER, now) else None
    if not is_over(status, alert.key):
        return record
    if record.told is None and now - record.seen < alert.patience:
        return None
    if record.told is not None and AlertEvent.RECOVERED not in wishes.on:
        return None
    if not is_configured(status, alert.key):
        alert = replace(alert, text=f"{_UNWATCHED}: {alert.text}")
    return replace(record, alert=alert, ended=now)


def _group(memory: NoticeMemory, event: AlertEvent, wishes: Wishes, now: datetime) -> Notice | None:
    here = {key: one for key, one in memory.records.items() if key[0] is event}
    last = memory.sent.get(event)
    if last is not None and is_within(last, GROUP_PAUSE, now):
        return None
    news = {key: one for key, one in here.items() if _is_news(one, now)}
    if any(_is_again(one, wishes.repeat, now) for one in here.values()):
        news |= {key: one for key, one in here.items() if one.told is not None}
    if not news:
        return None
    told = sorted(news.values(), key=lambda one: (one.ended is not None, one.alert.since))
    return Notice(event, now, tuple(told))


def _is_news(record: AlertRecord, now: datetime) -> bool:
    if record.ended is not None:
        return True
    return record.told is None and not is_within(record.seen, record.alert.patience, now)


def _is_again(record: AlertRecord, repeat: timedelta, now: datetime) -> bool:
    return (
        record.ended is None and record.told is not None and not is_within(record.told, repeat, now)
    )


def _observe_runs(
    memory: NoticeMemory,
    status: AgentStatus,
    alerts: Collection[Alert],
    on: frozenset[AlertEvent],
) -> NoticeMemory:
    """Note only the newest end and the newest start of a run of each cluster.

    A failed run is noted once its failure is this agent's to report: after it, another agent may
    store the snapshot, or has stored it already.
    """
    failed = {
        one.cluster
        for one in alerts
        if one.event is AlertEvent.FAILED and not is_within(one.since, one.patience, status.at)
    }
    names = {one.name for one in status.clusters}
    runs = tuple(one for one in memory.runs if one.cluster in names)
    begun = {name: one for name, one in memory.begun.items() if name in names}
    ended = {name: one for name, one in memory.ended.items() if name in names}
    for cluster in status.clusters:
        for newest, noted in ((_last_end(cluster), ended), (_present_run(cluster), begun)):
            if newest is None or noted.get(cluster.name) == newest.run_id:
                continue
            if newest.event is AlertEvent.FAILED and cluster.name not in failed:
                continue
            noted[cluster.name] = newest.run_id
            if newest.event in on:
                runs = (*(one for one in runs if not _replaces(newest, one)), newest)
    return replace(memory, runs=runs, begun=begun, ended=ended)


def _replaces(newest: RunNote, before: RunNote) -> bool:
    """Return whether a newer run makes an unsent note obsolete."""
    ends = newest.event is not AlertEvent.START
    return newest.cluster == before.cluster and (ends or before.event is AlertEvent.START)


def _present_run(cluster: ClusterStatus) -> RunNote | None:
    begun = cluster.activity
    if begun is None or not begun.run_id:
        return None
    return RunNote(AlertEvent.START, cluster.name, begun.run_id, begun.started_at)


def _last_end(cluster: ClusterStatus) -> RunNote | None:
    run = cluster.runs[-1] if cluster.runs else None
    event = None if run is None else _OF_OUTCOME.get(run.outcome)
    if run is None or event is None:
        return None
    return RunNote(
        event,
        cluster.name,
        run.run_id or f"{run.started_at:%Y%m%dT%H%M%S}",
        run.finished_at,
        text=run.error,
        index=None if run.snapshot is None else run.snapshot.meta.index,
        size=None if run.snapshot is None else run.snapshot.size,
        seconds=(run.finished_at - run.started_at).total_seconds(),
    )
