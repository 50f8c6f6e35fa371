"""Healthchecks (healthchecks.io or self-hosted), which raises an alarm when no ping arrives.

Source: healthchecks.io/docs/http_api, pinging API: `/start`, success without a suffix, `/fail`, and
`rid`, a UUID that connects the pings of one run.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid5

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.notices import Notice, RunNote
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.notify.message import is_test, lines, title
from raft_snapshot_agent.notify.post import post, resolve_url
from raft_snapshot_agent.notify.settings import HttpNotifierSettings, RunEvents

_PLACE = "{cluster}"
_FOREIGN = re.compile(r"[^a-z0-9_-]")
"""What Healthchecks takes in no name of a check; such an address is not found."""
_RUNS = UUID("7f2c2f0e-5d0b-4a55-9d0f-6c3f6f0f7a11")
"""Namespace of the UUIDs derived for runs."""
_SUFFIX = {
    AlertEvent.START: "/start",
    AlertEvent.FAILED: "/fail",
    AlertEvent.PARTIAL: "/fail",
}


class HealthchecksSettings(HttpNotifierSettings):
    """A ping when a run starts and when it succeeds or fails."""

    type: Literal["healthchecks"]
    on: RunEvents = (AlertEvent.START, AlertEvent.SUCCESS, AlertEvent.FAILED, AlertEvent.PARTIAL)
    per_run = True

    def open(self) -> Healthchecks:
        return Healthchecks(self)

    def check(self, clusters: Collection[str]) -> None:
        url = resolve_url(self)
        told = set(self.clusters or clusters)
        if "" in told and _PLACE in url:
            raise ConfigError(
                "{cluster} in url stands for the name of a cluster, and the only one has none",
                hint="give the url of one check, such as https://hc-ping.com/UUID",
            )
        if len(told) > 1 and _PLACE not in url:
            raise ConfigError(
                f"{len(told)} clusters would ping one check, where each hides that another fails",
                hint="write {cluster} into url, such as https://hc-ping.com/KEY/{cluster}, or"
                " name one cluster in clusters",
            )
        if alike := {one for one in told for other in told - {one} if _slug(one) == _slug(other)}:
            raise ConfigError(
                f"{' and '.join(sorted(alike))} would ping one check,"
                " as the name of one has only a-z, 0-9, _ and -",
                hint="give each a notifier with clusters: [NAME] and a url of its own",
            )


class Healthchecks:
    """Sends pings to a check."""

    def __init__(self, settings: HealthchecksSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> str:
        body = "\n".join((title(notice), *lines(notice))).encode()
        url = _address(resolve_url(self._settings), notice)
        return post(self._settings, url, body, {"content-type": "text/plain; charset=utf-8"})


def _address(url: str, notice: Notice) -> str:
    run = notice.run
    cluster = "" if run is None else run.cluster
    parts = urlsplit(url.replace(_PLACE, _slug(cluster)))
    # A test message must report neither a success nor a failure.
    suffix = "/log" if is_test(notice) else _SUFFIX.get(notice.event, "")
    query = "&".join(filter(None, (parts.query, "" if run is None else f"rid={run_uuid(run)}")))
    path = f"{parts.path.rstrip('/')}{suffix}"
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _slug(cluster: str) -> str:
    """Return the name of a cluster's check, which has only characters that Healthchecks takes."""
    return _FOREIGN.sub("-", cluster.lower())


def run_uuid(run: RunNote) -> UUID:
    """Return the UUID of a run, the same for its start and its end."""
    return uuid5(_RUNS, f"{run.cluster}/{run.run_id}")
