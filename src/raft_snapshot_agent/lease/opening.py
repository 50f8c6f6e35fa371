"""Makes a lease from its settings."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from raft_snapshot_agent.lease.candidacy import Candidacy, granted
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.lease.settings import LeaseSettings, StorageRef
from raft_snapshot_agent.lease.timeout import Timely


def open_lease(
    settings: LeaseSettings,
    storages: Sequence[StorageRef],
    qualify: Callable[[], Awaitable[None]] = granted,
) -> Lease:
    """Make the lease from its settings; no I/O.

    Arguments:
        settings: Settings of the lease.
        storages: All configured storages.
        qualify: Raises an error if this agent cannot take a snapshot now.

    Raises:
        ConfigError: No configured storage can keep the record.
    """
    return Lease(
        Timely(settings.lease_store(storages), settings.duration.total_seconds() / 4),
        _holder(),
        settings.duration,
        candidacy=Candidacy(
            prove=partial(settings.prove, storages),
            qualify=qualify,
            max_failures=settings.max_failures,
        ),
        storages=[one.name for one in storages if one.name is not None],
    )


async def holder(settings: LeaseSettings, storages: Sequence[StorageRef]) -> str:
    """Read the record and return a sentence that names the holder; nothing is written.

    Raises:
        ConfigError: Something the lease needs is missing on this host.
        StorageError: The record cannot be read.
    """
    settings.check()
    lease_store = Timely(settings.lease_store(storages), settings.duration.total_seconds())
    try:
        found = await lease_store.read()
    finally:
        await lease_store.close()
    who = "no agent" if found is None or found.record.free else found.record.holder
    return f"{who} holds the lease in {lease_store.location}"


def _holder() -> str:
    """Return a readable ID of this agent, different after each restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
