"""Build the objects of a run from a configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.config.model import Config, naming_of, require_storages, spool_folder
from raft_snapshot_agent.core.history.flood import Pace
from raft_snapshot_agent.core.history.guard import Losses
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import RetentionPolicy, time_zone
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster

if TYPE_CHECKING:  # imported only if a lease is configured
    from raft_snapshot_agent.lease.holder import Lease

_REQUESTS = 6
"""Maximum requests, retries included, of one step of a storage, such as a listing or the end of an
upload. The step may take this many times the storage's timeout."""
_SHORTEST = timedelta(minutes=10)
_CHECKS = 4
"""Maximum time to ask whether the node leads, as a part of the lease's duration."""


def destinations(
    config: Config, only: str | None = None, *, cluster: str = ""
) -> tuple[Destination, ...]:
    """Open the configured storages without contacting them.

    Arguments:
        config: The configuration of one cluster.
        only: Name of the only storage to open.
        cluster: The cluster's name; empty if there is only one.

    Raises:
        ConfigError: No storage is configured, or none is called `only`.
    """
    found = tuple(
        _open_destination(settings, config, cluster) for settings in require_storages(config)
    )
    chosen = tuple(destination for destination in found if only in (None, destination.name))
    if not chosen:
        names = ", ".join(destination.name for destination in found)
        raise ConfigError(f"no storage is called {only!r}", hint=f"there are: {names}")
    return chosen


def agent(
    config: Config,
    destinations: Sequence[Destination],
    *,
    by_hand: bool = False,
    limiter: ConcurrencyLimiter | None = None,
) -> Agent:
    """Build an agent.

    Arguments:
        config: The configuration of its cluster.
        destinations: Where snapshots are stored.
        by_hand: An operator runs it: find the leader on any node, and ignore the lease.
        limiter: Limits concurrent snapshots.
    """
    cluster = Cluster(config.vault, "anywhere" if by_hand else config.run_on)
    return Agent(
        cluster,
        destinations,
        naming=naming_of(config),
        spool=spool_folder(config, os.environ),
        deadline=config.vault.snapshot_timeout.total_seconds(),
        lease=None if by_hand else lease(config),
        limiter=limiter,
    )


def patience(config: Config) -> float:
    """Return after how many seconds without progress a run counts as stuck.

    Every step has a timeout, so a longer pause means that the run will not continue.
    """
    longest = max((one.timeout for one in config.storages), default=_SHORTEST)
    waits = (_SHORTEST, _REQUESTS * longest, config.vault.stall_timeout, config.vault.timeout)
    return 2 * max(waits).total_seconds()


def lease(config: Config) -> Lease | None:
    """Open the lease if one is configured, without contacting its store.

    Under `run_on: leader` an agent holds it only while its node leads.

    Raises:
        ConfigError: No storage can hold the lease record.
    """
    if config.lease is None:
        return None
    from raft_snapshot_agent.lease.opening import open_lease

    if config.run_on == "anywhere":
        return open_lease(config.lease, config.storages)
    # Its own connections, as it asks during a snapshot.
    timeout = min(config.vault.timeout, config.lease.duration / _CHECKS)
    cluster = Cluster(config.vault.model_copy(update={"timeout": timeout}), config.run_on)
    return open_lease(config.lease, config.storages, partial(_require_leadership, cluster))


async def _require_leadership(cluster: Cluster) -> None:
    """Raise the reason why the agent cannot take a snapshot now, such as `NotLeader`."""
    await in_thread(cluster.find_leader_for_this_agent, abandon=True)


def _open_destination(settings: AnyStorage, config: Config, cluster: str) -> Destination:
    # Imported here, as `save FILE` does not need them.
    from raft_snapshot_agent.storage.wrappers.logged import LoggedStorage
    from raft_snapshot_agent.storage.wrappers.rate_limited import RateLimitedStorage
    from raft_snapshot_agent.storage.wrappers.retrying import RetryingStorage
    from raft_snapshot_agent.storage.wrappers.timeout import TimeoutStorage

    def open_storage() -> Storage:
        storage: Storage = TimeoutStorage(
            LoggedStorage(settings.open()),
            _REQUESTS * settings.timeout,
            min_rate=settings.min_rate,
            max_objects=settings.max_objects,
            hint="check the store; if it is only slow, raise timeout or lower min_rate",
        )
        paced = (
            storage
            if settings.bandwidth is None
            else RateLimitedStorage(storage, settings.bandwidth)
        )
        return RetryingStorage(paced)

    retention = settings.retention or RetentionPolicy()
    return Destination(
        name=settings.name or settings.type,
        storage=open_storage(),
        reopen=open_storage,
        retention=retention,
        zone=time_zone(retention.timezone),
        naming=naming_of(config),
        static_name=settings.static_name,
        timing=None if settings.schedule is None else settings.schedule.open(),
        required=settings.required,
        prunes=settings.prune,
        losses=Losses(config.guard.max_shrink, config.guard.max_mount_shrink),
        signing=None if config.signing is None else config.signing.open,
        pace=Pace((settings.schedule or config.schedule).open().schedule, config.guard.max_extra),
        cluster=cluster,
    )
