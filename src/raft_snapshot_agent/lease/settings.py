"""How the configuration asks for a lease."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from raft_snapshot_agent.core.lease import Register
from raft_snapshot_agent.fields import PositiveDuration, Settings
from raft_snapshot_agent.lease.keeper import Lease
from raft_snapshot_agent.lease.timely import Timely

_SHORTEST, _LONGEST = timedelta(seconds=2), timedelta(hours=1)


def _bounded(duration: timedelta) -> timedelta:
    if not _SHORTEST <= duration <= _LONGEST:
        raise ValueError("must be between 2s and 1h")
    return duration


def _plain(name: Any) -> Any:
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise ValueError("must be a plain file name: no slashes, no dot in front")
    return name


class LeaseSettings(Settings):
    """A record in one of the storages says which of several agents works."""

    type: Literal["storage"]
    storage: str
    """The name of the storage that keeps the record; all agents must reach the same one."""
    duration: Annotated[PositiveDuration, AfterValidator(_bounded)] = timedelta(seconds=15)
    """For how long after its last renewal an agent that is gone keeps the others from working."""
    name: Annotated[str, AfterValidator(_plain)] = "raft-snapshot-lease"
    """Of the record, below the storage's prefix."""

    def open(self, register: Register) -> Lease:
        """Make this agent's view of the lease; nothing is contacted.

        Arguments:
            register: Keeps the record.
        """
        timely = Timely(register, self.duration.total_seconds() / 4)
        return Lease(timely, _holder(), self.duration)


def _holder() -> str:
    """Name this agent so that people know it, and unlike it was called before a restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
