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
from pathlib import Path

RUN: ContextVar[str] = ContextVar("run", default="")
"""The run that what is done now belongs to."""
_PACKAGE = Path(__file__).parent
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


def defect(error: BaseException) -> str:
    """Describe an unexpected exception by its kind and place; what it says may hold a secret."""
    places = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    ours = [one for one in places if _PACKAGE in one[0].parents]
    where = [f"{file.name}:{line}" for file, line in (ours or places)[-1:]]
    return " in ".join([f"unexpected {type(error).__name__}", *where])


def trace_defect(error: BaseException) -> None:
    """Log where an unexpected exception came from."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        for part in traceback.format_exception(error):
            for line in part.splitlines():
                LOGGER.debug("%s", line)
