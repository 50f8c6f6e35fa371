"""Messages, and notifiers for them."""

from __future__ import annotations

from typing import Any

from tests.unit.core.statuses import NOW, minutes

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.alerts import Alert
from raft_snapshot_agent.core.alarms.notices import AlertRecord, Notice, RunNote
from raft_snapshot_agent.notify import NOTIFIERS
from raft_snapshot_agent.notify.settings import Channel, NotifierSettings


def notifier(kind: str, **keys: Any) -> NotifierSettings:
    made = NOTIFIERS[kind].model_validate({"type": kind, "name": kind, **keys})
    assert isinstance(made, NotifierSettings)
    return made


def channel(kind: str, **keys: Any) -> Channel:
    return notifier(kind, **keys).open()


def record(
    event: AlertEvent = AlertEvent.FAILED,
    cluster: str = "prod",
    text: str = "no leader",
    **more: Any,
) -> AlertRecord:
    alert = Alert(event, cluster, more.pop("storage", ""), text, NOW - minutes(5))
    return AlertRecord(alert, NOW - minutes(5), **more)


def notice(*records: AlertRecord, event: AlertEvent = AlertEvent.FAILED) -> Notice:
    told = records or (record(event),)
    return Notice(event, NOW, told)


def run_notice(event: AlertEvent, run_id: str = "r1", cluster: str = "", text: str = "") -> Notice:
    return Notice(event, NOW, run=RunNote(event, cluster, run_id, NOW, text, 42, 1000, 1.5))
