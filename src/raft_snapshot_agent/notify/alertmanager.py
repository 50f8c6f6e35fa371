"""Prometheus' Alertmanager, which groups, routes and silences by itself.

Source: its API v2, `POST /api/v2/alerts`. An alert that is not sent again ends at `endsAt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent
from raft_snapshot_agent.core.alarms.notices import GROUP_PAUSE, AlertRecord, Notice
from raft_snapshot_agent.notify.message import (
    host,
    is_test,
    line,
    moment,
    shorten,
    title,
)
from raft_snapshot_agent.notify.post import post, resolve_url
from raft_snapshot_agent.notify.settings import HttpNotifierSettings, LastingEvents, Repeat
from raft_snapshot_agent.secret import Secret

_PATH = "/api/v2/alerts"
_OUTLASTS = 4
"""Number of missed repetitions after which Alertmanager resolves an alert."""
_TEST_LASTS = timedelta(minutes=1)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _labels_named(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"a label's name has letters, digits and _ only, not {name!r}")
    return labels


ExtraLabels = Annotated[dict[str, str], AfterValidator(_labels_named)]


class AlertmanagerSettings(HttpNotifierSettings):
    """One Alertmanager; configure one notifier per member of an Alertmanager cluster."""

    type: Literal["alertmanager"]
    on: LastingEvents = (*CONDITIONS, AlertEvent.RECOVERED)
    repeat: Repeat = timedelta(minutes=5)
    """How often an ongoing alert is sent again; Alertmanager resolves it after four misses."""
    labels: ExtraLabels = Field(default={})
    """Labels added to each alert."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer`."""

    def open(self) -> Alertmanager:
        return Alertmanager(self)

    def check(self, clusters: Collection[str]) -> None:  # noqa: ARG002 - any will do
        resolve_url(self)


class Alertmanager:
    """Sends alerts."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> str:
        settings = self._settings
        headers = {"content-type": "application/json"}
        if settings.token is not None:
            headers["authorization"] = f"Bearer {settings.token.resolve()}"
        url = resolve_url(settings).rstrip("/").removesuffix(_PATH) + _PATH
        return post(settings, url, json.dumps(self._alerts(notice)).encode(), headers)

    def _alerts(self, notice: Notice) -> list[dict[str, Any]]:
        if is_test(notice):
            labels = {"alertname": "RaftSnapshotTest", "severity": "none"}
            until = notice.at + _TEST_LASTS
            return [
                {
                    "labels": {**self._settings.labels, **labels, "host": host()},
                    "annotations": {"summary": title(notice)},
                    "startsAt": moment(notice.at),
                    "endsAt": moment(until),
                }
            ]
        return [self._alert(one, notice) for one in notice.records]

    def _alert(self, record: AlertRecord, notice: Notice) -> dict[str, Any]:
        alert = record.alert
        again = max(self._settings.repeat, GROUP_PAUSE)
        ends = record.ended or notice.at + _OUTLASTS * again
        return {
            "labels": {**self._settings.labels, **_labels(record), "host": host()},
            "annotations": {"summary": shorten(alert.text), "description": line(record)},
            "startsAt": moment(alert.since),
            "endsAt": moment(ends),
        }


def _labels(record: AlertRecord) -> dict[str, str]:
    alert = record.alert
    words = "".join(part.capitalize() for part in alert.event.value.split("_"))
    named = {"cluster": shorten(alert.cluster), "storage": shorten(alert.storage)}
    return {
        "alertname": f"RaftSnapshot{words}",
        "severity": "critical" if alert.critical else "warning",
        **{key: value for key, value in named.items() if value},
    }
