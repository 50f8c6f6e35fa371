"""Sets up the log: one event a line, on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TextIO

from raft_snapshot_agent.observe import debug_log
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.unneeded import hide
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.standard_error import StandardError

with hide("rich"):  # needed only for tracebacks, which are never logged
    import structlog

Format = Literal["text", "json", "hclog"]
Level = Literal["debug", "info", "warning", "error"]
Log = structlog.typing.FilteringBoundLogger

_LONGEST = 8000
"""Most characters of a text in a line."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_OWN = {"timestamp", "level", "fact"}
"""Fields of the agent itself, which alerts search for: no secret is in them."""
_PRIORITIES = {"error": 3, "warning": 4, "info": 6, "debug": 7}
"""Of syslog."""


def configure(layout: Format, level: Level) -> Log:
    """Set up the log and return it.

    Arguments:
        layout: `hclog` is the format of the server's log.
        level: Least level that is written; `debug` includes every request.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    renderer = {"json": _as_json, "hclog": _as_hclog}.get(layout, _as_text)
    render = _with_priority(renderer) if is_journal(sys.stderr) else renderer
    if isinstance(sys.stderr, StandardError):
        sys.stderr.report_losses(partial(_report_loss, render))
    structlog.configure(
        processors=[structlog.processors.add_log_level, _add_context, _clean, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _listen(level)
    return get_log()


def get_log() -> Log:
    """Return the log; it follows later calls of `configure`."""
    log: Log = structlog.get_logger()
    return log


class _Forwarded(logging.Handler):
    """Writes the records of `trace` into the log."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = getattr(record, debug_log.FACTS, {})
        structlog.get_logger().debug(record.getMessage(), fact=LogEvent.TRACE, **facts)


def _listen(level: Level) -> None:
    """Log requests at level `debug`."""
    debug_log.LOGGER.handlers = [_Forwarded()] if level == "debug" else []
    debug_log.LOGGER.setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
    debug_log.LOGGER.propagate = False


_Event = MutableMapping[str, Any]


def is_journal(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stream is connected to the systemd journal.

    Source: systemd.exec(5), `$JOURNAL_STREAM`: device and inode of the journal's end.
    """
    try:
        found = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):
        return False
    named = environ.get("JOURNAL_STREAM", "")
    return found is not None and named == f"{found.st_dev}:{found.st_ino}"


_Renderer = Callable[[Any, str, _Event], str]


def _with_priority(render: _Renderer) -> _Renderer:
    """Begin each line with its priority, which the journal removes; see sd-daemon(3)."""

    def begin(logger: Any, method: str, event: _Event) -> str:
        return f"<{_PRIORITIES.get(event['level'], 6)}>{render(logger, method, event)}"

    return begin


def _report_loss(render: _Renderer, message: str) -> str:
    """Return the line of the log that stands for missing ones."""
    event: _Event = {"level": "warning", "event": message, "fact": LogEvent.LINES_MISSING}
    return render(None, "", _clean(None, "", _add_context(None, "", event)))


def _add_context(_: Any, __: str, event: _Event) -> _Event:
    now = datetime.now(UTC)
    for key, value in (("cluster", debug_log.CLUSTER.get()), ("run", debug_log.RUN.get())):
        if value and key not in event:
            event[key] = value
    event["timestamp"] = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    return event


def _clean(_: Any, __: str, event: _Event) -> _Event:
    return {key: str(value) if key in _OWN else _presentable(value) for key, value in event.items()}


def _presentable(value: Any) -> Any:
    """Hide secrets, shorten to one line, and replace terminal control characters by spaces."""
    match value:
        case None | int() | float():
            return value
        case list() | tuple():
            return [_presentable(item) for item in value]
        case dict():
            return {str(key): _presentable(item) for key, item in value.items()}
        case _:
            text = str(value)[:_LONGEST]
            return redact("".join(one if one.isprintable() else " " for one in text))


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in event.items() if k not in ("timestamp", "level", "event", "fact")}


def _named(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event name of a line, if it has one."""
    return {"event": event["fact"]} if "fact" in event else {}


def _as_pairs(fields: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={json.dumps(value, ensure_ascii=False) if ' ' in str(value) else value}"
        for key, value in fields.items()
    )


def _as_text(_: Any, __: str, event: _Event) -> str:
    line = f"{event['timestamp']} {event['level']:<7} {event['event']}"
    return f"{line}  {_as_pairs(_fields(event) | _named(event))}".rstrip()


def _as_json(_: Any, __: str, event: _Event) -> str:
    head = {"timestamp": event["timestamp"], "level": event["level"], "message": event["event"]}
    return json.dumps(head | _named(event) | _fields(event))


def _as_hclog(_: Any, __: str, event: _Event) -> str:
    """Render like HashiCorp's hclog: `<time> [INFO]  <module>: <message>: <key>=<value>`."""
    level = f"[{'WARN' if event['level'] == 'warning' else event['level'].upper()}]"
    line = f"{event['timestamp']} {level:<7} snapshot-agent: {event['event']}"
    pairs = _as_pairs(_fields(event) | _named(event))
    return f"{line}: {pairs}" if pairs else line
