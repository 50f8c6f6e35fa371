"""Recognises an installation that is broken: a library of it cannot be loaded.

It was interrupted, an upgrade of Python or of the system took something away, or files were
replaced under a process that loads them when it needs them.
"""

from __future__ import annotations

from raft_snapshot_agent.errors import AgentError

_CAUSES = (ImportError, SyntaxError, SystemError)
"""`SystemError`: what compiled modules and pydantic raise for a part of another version."""
_HINT = (
    "install raft-snapshot-agent again; if it was replaced while this process ran, start that anew"
)


def find_broken_library(error: BaseException) -> AgentError | None:
    """Return the error for a library that cannot be loaded; `None` for other exceptions.

    The text of such an exception names modules and files, and holds no data.
    """
    if not isinstance(error, _CAUSES):
        return None
    why = " ".join(str(error).split()) or type(error).__name__
    return AgentError(f"the installation is broken: {why}", hint=_HINT)
