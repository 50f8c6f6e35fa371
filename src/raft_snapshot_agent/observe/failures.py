"""What an exception means: an error of the agent, a limit of the host, a broken installation or a
defect of the agent.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from raft_snapshot_agent.broken_library import find_broken_library
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.host_limits import find_limit
from raft_snapshot_agent.observe.debug_log import log_defect

_PACKAGE = Path(__file__).parent.parent


def as_failure(error: Exception) -> AgentError:
    """Convert an exception to an `AgentError`; an unexpected one is reported as a bug."""
    if isinstance(error, AgentError):
        return error
    if limit := find_limit(error):
        return AgentError(limit.message, hint=limit.hint)
    if isinstance(error, ExceptionGroup):
        return as_failure(error.exceptions[0])
    log_defect(error)
    if broken := find_broken_library(error):
        return broken
    return AgentError(describe_defect(error), hint="this is a bug of the agent: please report it")


def describe_defect(error: BaseException) -> str:
    """Describe an unexpected exception by type and place; its text may contain a secret."""
    places = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    ours = [one for one in places if _PACKAGE in one[0].parents]
    where = [f"{file.name}:{line}" for file, line in (ours or places)[-1:]]
    return " in ".join([f"unexpected {type(error).__name__}", *where])
