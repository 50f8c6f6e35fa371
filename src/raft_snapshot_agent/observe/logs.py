"""The log: one fact a line, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

from raft_snapshot_agent.observe import trace
from raft_snapshot_agent.observe.unneeded import hide
from raft_snapshot_agent.redaction import redact

with hide("rich"):  # only to draw tracebacks, which no line of ours holds
    import structlog

Format = Literal["text", "json", "hclog"]
Level = Literal["debug", "info", "warning", "error"]
Log = structlog.typing.FilteringBoundLogger

_LONGEST = 8000
"""Letters of a text in a line."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(layout: Format, level: Level) -> Log:
    """Set the log up and return it.

    Arguments:
        layout: `hclog` lines up with the server's own log.
        level: Less important lines are left out; `debug` has every request.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    renderer = {"json": _as_json, "hclog": _as_hclog}.get(layout, _as_text)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _add_timestamp, _clean, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _listen(level)
    return get_log()


def get_log() -> Log:
    """Return the log as it was set up last, and follow when it is set up anew."""
    log: Log = structlog.get_logger()
    return log


class _Forwarded(logging.Handler):
    """Writes what `trace` says into the log."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = getattr(record, trace.FACTS, {})
        structlog.get_logger().debug(record.getMessage(), **facts)


def _listen(level: Level) -> None:
    """Log requests, where the level asks for it."""
    trace.LOGGER.handlers = [_Forwarded()] if level == "debug" else []
    trace.LOGGER.setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
    trace.LOGGER.propagate = False


_Event = MutableMapping[str, Any]


def _add_timestamp(_: Any, __: str, event: _Event) -> _Event:
    now = datetime.now(UTC)
    if "run" not in event and (run := trace.RUN.get()):
        event["run"] = run
    event["timestamp"] = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    return event


def _clean(_: Any, __: str, event: _Event) -> _Event:
    return {key: _presentable(value) for key, value in event.items()}


def _presentable(value: Any) -> Any:
    """Hide secrets, and keep to one short line: what a terminal would obey becomes spaces."""
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
