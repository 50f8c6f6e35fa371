"""Redirects messages of libraries, threads and the event loop to the log, one line each."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from raft_snapshot_agent.observe.debug_log import log_defect
from raft_snapshot_agent.observe.failures import describe_defect
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import get_log

_LEVELS = {logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "error"}


class _Adopted(logging.Handler):
    """Writes each record of the standard library's logging as one line of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {describe_defect(record.exc_info[1])}"
            log_defect(record.exc_info[1])
        write = getattr(get_log(), _LEVELS.get(record.levelno, "warning"))
        write(text, fact=LogEvent.OTHER)


def adopt_strays() -> None:
    """Redirect messages that would bypass the log, for the whole process."""
    logging.getLogger().handlers = [_Adopted(logging.WARNING)]
    logging.captureWarnings(capture=True)
    threading.excepthook = _tell_thread
    sys.unraisablehook = _tell_ignored


def _tell_thread(ended: Any) -> None:
    if ended.exc_value is None or ended.exc_type is SystemExit:
        return
    log_defect(ended.exc_value)
    what = f"A background thread failed: {describe_defect(ended.exc_value)}"
    get_log().error(what, fact=LogEvent.OTHER)


def _tell_ignored(ignored: Any) -> None:
    if ignored.exc_value is None:
        return
    log_defect(ignored.exc_value)
    what = (
        f"An error was ignored while an object was released: {describe_defect(ignored.exc_value)}"
    )
    get_log().warning(what, fact=LogEvent.OTHER)
