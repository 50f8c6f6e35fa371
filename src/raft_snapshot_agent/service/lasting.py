"""Tasks of the daemon that must neither end it when they fail, nor end themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

import anyio
from anyio import CancelScope

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import get_log

_PAUSE = 5.0
"""Seconds after which a failed task starts again."""
_STEADY = 60.0
"""Seconds of work after which the next failure is logged, even if it is the same."""


async def keep_running(
    work: Callable[[], Awaitable[None]], scope: CancelScope | None = None
) -> None:
    """Run a task to its end; after a failure, log it and start the task again.

    A failure that is repeated at once is logged once. Not only defects fail here: a host that is
    short of threads or open files for a minute must not cost the daemon its page.

    Arguments:
        work: Starts the task.
        scope: Cancels it; by default only the task group does.
    """
    with scope or CancelScope():
        logged = ""
        began = monotonic()
        while (failure := await _attempt(work)) is not None:
            if monotonic() - began > _STEADY:
                logged = ""
            what = f"A background task failed and starts again in {_PAUSE:g} s: {failure}"
            if what != logged:
                get_log().error(what, fact=LogEvent.BACKGROUND_FAILED)
            logged = what
            await anyio.sleep(_PAUSE)
            began = monotonic()


async def _attempt(work: Callable[[], Awaitable[None]]) -> AgentError | None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - it must not end the snapshots
        return as_failure(error)
    return None
