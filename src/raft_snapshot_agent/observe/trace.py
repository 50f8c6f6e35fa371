"""Logs requests, and where a bug came from, at the level `debug`.

It goes to the standard library's logger of this name, which nobody listens to unless the log is
set to `debug`.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.errors import AgentError


class Progress:
    """When work last went on; safe to share between threads."""

    def __init__(self) -> None:
        self._moved = time.monotonic()
        self._paused = 0
        self._limit = math.inf
        self._going = 0

    def touch(self) -> None:
        """Note that it goes on."""
        self._moved = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since it went on; none while it waits for its turn."""
        return 0.0 if self._paused else time.monotonic() - self._moved

    @property
    def stuck(self) -> bool:
        """Whether it has not gone on for longer than all its time-outs allow."""
        return self.idle > self._limit

    @property
    def is_going(self) -> bool:
        """Whether work is under way."""
        return self._going > 0

    @contextmanager
    def going(self, limit: float) -> Iterator[None]:
        """Do work that goes on at least every so many seconds."""
        self._limit = limit
        token = PROGRESS.set(self)
        self.touch()
        self._going += 1
        try:
            yield
        finally:
            self._going -= 1
            self._limit = math.inf
            PROGRESS.reset(token)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait for a turn."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            self.touch()


PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)
"""Of the run that what is done now belongs to."""
RUN: ContextVar[str] = ContextVar("run", default="")
"""The run that what is done now belongs to."""
CLUSTER: ContextVar[str] = ContextVar("cluster", default="")
"""The name of the cluster that what is done now is for; empty where there is one only."""
_PACKAGE = Path(__file__).parent.parent
LOGGER = logging.getLogger(__name__)
FACTS = "facts"
"""The attribute of a record that holds its fields."""


@dataclass(slots=True)
class Request:
    """One request, until it is answered."""

    status: object = "ok"


@contextmanager
def trace_request(method: str, target: str) -> Iterator[Request]:
    """Log a request, how it ended and how long that took.

    Arguments:
        method: What is asked.
        target: Of whom; no secret is in it.
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


def note(text: str, **facts: object) -> None:
    """Log what happened on the way, and its facts."""
    LOGGER.debug("%s", text, extra={FACTS: facts})


def defect(error: BaseException) -> str:
    """Describe an unexpected exception by its kind and place; what it says may hold a secret."""
    places = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    ours = [one for one in places if _PACKAGE in one[0].parents]
    where = [f"{file.name}:{line}" for file, line in (ours or places)[-1:]]
    return " in ".join([f"unexpected {type(error).__name__}", *where])


def touch() -> None:
    """Note that the present run goes on."""
    if (progress := PROGRESS.get()) is not None:
        progress.touch()


def trace_defect(error: BaseException) -> None:
    """Log where an unexpected exception came from."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        for part in traceback.format_exception(error):
            for line in part.splitlines():
                LOGGER.debug("%s", line)


def as_failure(error: Exception) -> AgentError:
    """Describe any exception in one line; one that is no failure we know is a defect of ours."""
    if isinstance(error, AgentError):
        return error
    trace_defect(error)
    return AgentError(defect(error), hint="this is a bug of the agent: please report it")
