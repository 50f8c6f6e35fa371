"""Logs requests, and the source of unexpected exceptions, at level `debug`.

The records go to the standard library's logger of this name, which is ignored unless the log level
is `debug`.
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
from raft_snapshot_agent.host_limits import find_limit


class Progress:
    """Records when work last made progress; thread-safe."""

    def __init__(self) -> None:
        self._moved = time.monotonic()
        self._paused = 0
        self._limit = math.inf
        self._going = 0

    def touch(self) -> None:
        """Record progress."""
        self._moved = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the last progress; 0 while paused."""
        return 0.0 if self._paused else time.monotonic() - self._moved

    @property
    def stuck(self) -> bool:
        """Whether the last progress is longer ago than all time-outs allow."""
        return self.idle > self._limit

    @property
    def is_going(self) -> bool:
        """Whether work is in progress."""
        return self._going > 0

    @contextmanager
    def going(self, limit: float) -> Iterator[None]:
        """Enclose work that makes progress at least every `limit` seconds."""
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
        """Enclose waiting for a permit, which does not count as a lack of progress."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            self.touch()


PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)
"""Progress of the present run."""
RUN: ContextVar[str] = ContextVar("run", default="")
"""ID of the present run."""
CLUSTER: ContextVar[str] = ContextVar("cluster", default="")
"""Name of the present cluster; empty if only one is configured."""
_PACKAGE = Path(__file__).parent.parent
LOGGER = logging.getLogger(__name__)
FACTS = "facts"
"""Attribute of a log record that contains its fields."""


@dataclass(slots=True)
class Request:
    """One request in progress."""

    status: object = "ok"


@contextmanager
def trace_request(method: str, target: str) -> Iterator[Request]:
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


def note(text: str, **facts: object) -> None:
    """Log an intermediate event with its fields."""
    LOGGER.debug("%s", text, extra={FACTS: facts})


def defect(error: BaseException) -> str:
    """Describe an unexpected exception by type and place; its text may contain a secret."""
    places = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    ours = [one for one in places if _PACKAGE in one[0].parents]
    where = [f"{file.name}:{line}" for file, line in (ours or places)[-1:]]
    return " in ".join([f"unexpected {type(error).__name__}", *where])


def touch() -> None:
    """Record progress of the present run."""
    if (progress := PROGRESS.get()) is not None:
        progress.touch()


def trace_defect(error: BaseException) -> None:
    """Log the source of an unexpected exception."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        for part in traceback.format_exception(error):
            for line in part.splitlines():
                LOGGER.debug("%s", line)


def as_failure(error: Exception) -> AgentError:
    """Convert an exception to an `AgentError`; an unexpected one is reported as a bug."""
    if isinstance(error, AgentError):
        return error
    if limit := find_limit(error):
        return AgentError(limit.message, hint=limit.hint)
    if isinstance(error, ExceptionGroup):
        return as_failure(error.exceptions[0])
    trace_defect(error)
    return AgentError(defect(error), hint="this is a bug of the agent: please report it")
