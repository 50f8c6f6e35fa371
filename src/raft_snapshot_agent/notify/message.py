"""Renders a message: as a JSON document for programs, as text for people."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from html import escape
from math import inf
from typing import Any

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.notices import AlertRecord, Notice, RunNote
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.redaction import one_line

VERSION = 1
"""Version of the document; added fields do not change it."""
_LONGEST = 1000
_TEST = "This is a test of the notifications; nothing is wrong."
_MOST_LINES = 20
_LINE_END = len("<br />\r\n")
"""Characters of the longest line end that a service needs."""
_MOST_ALERTS = 100
"""Most alerts in one document; of the rest it has only the count."""
_WORDS: Mapping[AlertEvent, str] = {
    AlertEvent.FAILED: "snapshots fail",
    AlertEvent.PARTIAL: "a storage does not get its snapshots",
    AlertEvent.STALE: "the newest snapshot is too old",
    AlertEvent.GUARD_ALARM: "an unexpected snapshot, nothing is pruned",
    AlertEvent.DRILL_FAILED: "a drill failed or could not be run",
    AlertEvent.SCRUB_FAILED: "a stored snapshot is broken",
    AlertEvent.LEASE_UNUSABLE: "the lease cannot be used",
    AlertEvent.LOGIN_FAILING: "the server refuses the agent's login",
    AlertEvent.RECOVERED: "a test message",
    AlertEvent.START: "a snapshot begins",
    AlertEvent.SUCCESS: "a snapshot is stored",
}


def make_test(at: datetime, cluster: str = "") -> Notice:
    """Return the message that `notify test` sends.

    Arguments:
        at: The present time.
        cluster: Name of the cluster that it is about, for receivers that have one address for each.
    """
    note = RunNote(AlertEvent.RECOVERED, cluster, f"test-{at.timestamp():.6f}", at, _TEST)
    return Notice(AlertEvent.RECOVERED, at, run=note)


def state(notice: Notice) -> str:
    """Return `firing`, `resolved`, or `event` for a single event."""
    if notice.run is not None:
        return "event"
    return "resolved" if notice.is_over else "firing"


def event_name(notice: Notice) -> str:
    """Return the name of the event, as programs get it."""
    return "test" if is_test(notice) else notice.event.value


def document(notice: Notice) -> dict[str, Any]:
    """Return the document sent to webhooks and programs; see docs/notifications.md."""
    return {
        "version": VERSION,
        "id": notice.id,
        "event": event_name(notice),
        "state": state(notice),
        "at": moment(notice.at),
        "title": title(notice),
        "text": "\n".join(lines(notice)),
        "agent": {"host": host(), "version": __version__},
        "alerts": [_alert(one) for one in notice.records[:_MOST_ALERTS]],
        "left_out": max(len(notice.records) - _MOST_ALERTS, 0),
        "run": None if notice.run is None else _run(notice.run),
    }


def encode(notice: Notice) -> bytes:
    """Return the document as JSON."""
    return json.dumps(document(notice), ensure_ascii=False).encode()


def title(notice: Notice) -> str:
    """Return the subject of a message, on one line."""
    words = _WORDS[notice.event]
    if notice.run is not None:
        where = f" ({shorten(notice.run.cluster)})" if notice.run.cluster else ""
        return f"Raft snapshots{where}: {words}"
    subjects = list(dict.fromkeys(shorten(one.alert.subject) for one in notice.records))
    named = enumerate_names([*filter(None, subjects)])
    where = f" ({named})" if named else ""
    return f"{'Resolved: ' if notice.is_over else ''}Raft snapshots{where}: {words}"


def lines(notice: Notice, room: float = inf) -> list[str]:
    """Return the details of a message, one per line; of many, the first ones and a count.

    Arguments:
        notice: The message.
        room: Most characters of title and lines, even as HTML; the first line is there in any case.
    """
    if notice.run is not None:
        return [shorten(notice.run.text) or _WORDS[notice.event]]
    first, *others = map(line, notice.records[:_MOST_LINES])
    count = f"and {len(notice.records)} more"
    told = [first, *_fit(others, room - sum(map(_measure, (title(notice), first, count))))]
    left = len(notice.records) - len(told)
    return [*told, f"and {left} more"] if left else told


def _fit(texts: Iterable[str], room: float) -> Iterator[str]:
    for text in texts:
        room -= _measure(text)
        if room < 0:
            return
        yield text


def _measure(text: str) -> int:
    return len(escape(text)) + _LINE_END


def line(record: AlertRecord) -> str:
    """Return an alert as one line of text."""
    alert = record.alert
    subject = f"{shorten(alert.subject)}: " if alert.subject else ""
    when = f"since {moment(alert.since)}"
    if record.ended is not None:
        when = f"{when}, over since {moment(record.ended)}"
    return f"{subject}{shorten(alert.text)} ({when})"


def is_test(notice: Notice) -> bool:
    """Return whether it is the message of `notify test`."""
    return notice.event is AlertEvent.RECOVERED and notice.run is not None


def shorten(text: str) -> str:
    """Return an external text on one line, without anything that looks like a secret."""
    return one_line(text, _LONGEST)


def moment(at: datetime) -> str:
    """Return a time as RFC 3339 in UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@cache
def host() -> str:
    """Return this host's name, which identifies the agent to the receiver."""
    return one_line(socket.gethostname(), 253)


def _alert(record: AlertRecord) -> dict[str, Any]:
    alert = record.alert
    return {
        "state": "firing" if record.ended is None else "resolved",
        "event": alert.event.value,
        "severity": "critical" if alert.critical else "warning",
        "cluster": shorten(alert.cluster) or None,
        "storage": shorten(alert.storage) or None,
        "text": shorten(alert.text),
        "since": moment(alert.since),
        "ended": None if record.ended is None else moment(record.ended),
        "repeated": record.told is not None and record.ended is None,
    }


def _run(run: RunNote) -> dict[str, Any]:
    return {
        "cluster": shorten(run.cluster) or None,
        "id": run.run_id,
        "at": moment(run.at),
        "text": shorten(run.text),
        "index": run.index,
        "bytes": run.size,
        "seconds": round(run.seconds, 2),
    }
