"""What is asked of whom, and where a defect came from: for the log, at its level `debug`.

It goes to the standard library's logger of this name, which nobody listens to unless the log is
set to `debug`.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

RUN: ContextVar[str] = ContextVar("run", default="")
"""The run that what is done now belongs to."""
LOGGER = logging.getLogger(__name__)
FACTS = "facts"
"""The attribute of a record that holds its fields."""


@dataclass(slots=True)
class Request:
    """One request, until it is answered."""

    status: object = "ok"


@contextmanager
def traced(method: str, target: str) -> Iterator[Request]:
    """Log a request, how it ended and how long that took.

    Arguments:
        method: What is asked.
        target: Of whom; no secret is in it.
    """
    request, started = Request(), time.monotonic()
    try:
        yield request
    except BaseException as error:
        request.status = type(error).__name__
        raise
    finally:
        milliseconds = round((time.monotonic() - started) * 1000)
        facts = {"status": request.status, "ms": milliseconds}
        LOGGER.debug("%s %s", method, target, extra={FACTS: facts})


def trace_defect(error: BaseException) -> None:
    """Log where an unexpected exception came from."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        for part in traceback.format_exception(error):
            for line in part.splitlines():
                LOGGER.debug("%s", line)
