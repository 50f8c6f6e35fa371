"""From a configuration to the objects that do the work."""

from __future__ import annotations

import os
from collections.abc import Sequence

from raft_snapshot_agent.agent import Agent, Place
from raft_snapshot_agent.config.model import Config, require_storages, spool_folder
from raft_snapshot_agent.core import naming
from raft_snapshot_agent.core.retention import Retention
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.vault.leader import Cluster


def places(config: Config, only: str | None = None) -> tuple[Place, ...]:
    """Open the configured storages; nothing is contacted.

    Raises:
        ConfigError: None is configured, or none is called `only`.
    """
    opened = tuple(_place(settings) for settings in require_storages(config))
    chosen = tuple(place for place in opened if only in (None, place.name))
    if not chosen:
        names = ", ".join(place.name for place in opened)
        raise ConfigError(f"no storage is called {only!r}", hint=f"there are: {names}")
    return chosen


def agent(config: Config, destinations: Sequence[Place], *, by_hand: bool = False) -> Agent:
    """Put an agent together.

    Arguments:
        config: What the agent is told.
        destinations: Where snapshots go to.
        by_hand: An operator asks now: find the leader wherever it is.
    """
    cluster = Cluster(config.vault, config.run_on)
    return Agent(
        cluster,
        destinations,
        naming=naming.SEED if config.naming == "seed" else naming.AGENT,
        spool=spool_folder(config, os.environ),
        deadline=config.vault.snapshot_timeout.total_seconds(),
        find=cluster.found if by_hand else None,
    )


def _place(settings: AnyStorage) -> Place:
    from raft_snapshot_agent.storage.retrying import Retrying  # `save FILE` starts without it

    return Place(
        name=settings.name or settings.type,
        storage=Retrying(settings.open()),
        retention=settings.retention or Retention(),
        static_name=settings.static_name,
    )
