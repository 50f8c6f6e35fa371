"""The log: what a run did, one fact a line, on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from raft_snapshot_agent.core.report import Delivery, Outcome, Report
from raft_snapshot_agent.errors import LeaseHeld
from raft_snapshot_agent.secret import redact

Format = Literal["text", "json", "hclog"]
Level = Literal["debug", "info", "warning", "error"]
Log = structlog.typing.FilteringBoundLogger

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(layout: Format, level: Level) -> Log:
    """Set the log up and return it.

    Arguments:
        layout: `hclog` lines up with the server's own log.
        level: The least level that is written.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    renderer = {"json": _as_json, "hclog": _as_hclog}.get(layout, _as_text)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _stamped, _clean, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log


def log_report(log: Log, report: Report) -> None:
    """Write what one run did.

    The first two sentences are the original agent's, word for word: people grep for them.
    """
    match report.outcome:
        case Outcome.SKIPPED if isinstance(report.error, LeaseHeld):
            log.info("Another agent holds the lease, skipping.", reason=str(report.error))
        case Outcome.SKIPPED:
            log.info("Not running on leader node, skipping.", reason=str(report.error))
        case Outcome.STOPPED:
            log.info("Stopped while a snapshot was under way; it is dropped.")
        case _ if report.error is not None:
            log.error(f"Snapshot failed: {report.error}")
    for delivery in report.deliveries:
        _log_delivery(log, report, delivery)


def _log_delivery(log: Log, report: Report, delivery: Delivery) -> None:
    if delivery.error is not None:
        tell = log.error if delivery.required else log.warning
        tell(f"Could not store the snapshot in {delivery.storage}: {delivery.error}")
        return
    snapshot = report.snapshot
    log.info(
        f"Successfully created {delivery.kind} snapshot to {delivery.location}",
        index=snapshot.meta.index if snapshot else None,
        bytes=snapshot.size if snapshot else None,
        seconds=round(delivery.seconds, 2),
    )
    for name in delivery.deleted:
        log.info(f"Deleted old snapshot {name}", storage=delivery.storage)
    for warning in delivery.warnings:
        count = delivery.counts.get(warning)
        told = {} if count is None else {"snapshots": count}
        log.warning(f"{delivery.storage}: {warning}", **told)
    if delivery.alarm:
        why = f"{delivery.alarm}; to go on pruning, prune --acknowledge"
        log.error(f"{delivery.storage} is not pruned any more: {why}")


_Event = MutableMapping[str, Any]


def _stamped(_: Any, __: str, event: _Event) -> _Event:
    now = datetime.now(UTC)
    event["timestamp"] = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    return event


def _clean(_: Any, __: str, event: _Event) -> _Event:
    return {key: _presentable(value) for key, value in event.items()}


def _presentable(value: Any) -> Any:
    """Hide secrets, and keep to one line: line breaks and control characters become spaces."""
    match value:
        case None | int() | float():
            return value
        case list() | tuple():
            return [_presentable(item) for item in value]
        case dict():
            return {str(key): _presentable(item) for key, item in value.items()}
        case _:
            return redact(_CONTROL.sub(" ", str(value)))


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in event.items() if k not in ("timestamp", "level", "event")}


def _as_pairs(fields: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={json.dumps(value, ensure_ascii=False) if ' ' in str(value) else value}"
        for key, value in fields.items()
    )


def _as_text(_: Any, __: str, event: _Event) -> str:
    line = f"{event['timestamp']} {event['level']:<7} {event['event']}"
    return f"{line}  {_as_pairs(_fields(event))}".rstrip()


def _as_json(_: Any, __: str, event: _Event) -> str:
    head = {"timestamp": event["timestamp"], "level": event["level"], "message": event["event"]}
    return json.dumps(head | _fields(event))


def _as_hclog(_: Any, __: str, event: _Event) -> str:
    """Render like HashiCorp's hclog: `<time> [INFO]  <module>: <message>: <key>=<value>`."""
    level = f"[{'WARN' if event['level'] == 'warning' else event['level'].upper()}]"
    line = f"{event['timestamp']} {level:<7} snapshot-agent: {event['event']}"
    pairs = _as_pairs(_fields(event))
    return f"{line}: {pairs}" if pairs else line
