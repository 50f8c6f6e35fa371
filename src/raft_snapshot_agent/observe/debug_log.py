"""Logs requests at level `debug`, and names the run and the cluster that a line is about.

The records go to the standard library's logger of this name, which is ignored unless the log level
is `debug`.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from raft_snapshot_agent.observe.progress import touch

RUN: ContextVar[str] = ContextVar("run", default="")
"""ID of the present run."""
CLUSTER: ContextVar[str] = ContextVar("cluster", default="")
"""Name of the present cluster; empty if only one is configured."""
LOGGER = logging.getLogger(__name__)
FACTS = "facts"
"""Attribute of a log record that contains its fields."""


@dataclass(slots=True)
class Request:
    """One request in progress."""

    status: object = "ok"


@contextmanager
def log_request(method: str, target: str) -> Iterator[Request]:
    """Log a request with its result and duration.

    Arguments:
        method: The method or operation.
        target: Address of the request, without secrets.
    """
    request, started = Request(), time.monotonic()
    touch()
    try:
        yield request
    except BaseException as error:
        request.status = type(error).__name__
        raise
    finally:
        touch()
        milliseconds = round((time.monotonic() - started) * 1000)
        facts = {"status": request.status, "ms": milliseconds}
        LOGGER.debug("%s %s", method, target, extra={FACTS: facts})


def log_step(text: str, **facts: object) -> None:
    """Log a step of a request, such as a retry, with its fields."""
    LOGGER.debug("%s", text, extra={FACTS: facts})


def log_defect(error: BaseException) -> None:
    """Log the source of an unexpected exception."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        for part in traceback.format_exception(error):
            for line in part.splitlines():
                LOGGER.debug("%s", line)
