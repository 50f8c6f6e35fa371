"""`run`: the daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable

import anyio

from raft_snapshot_agent.cli.options import DEBUG
from raft_snapshot_agent.cli.waiting import allow_collections
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.heap import share_heap
from raft_snapshot_agent.observe.strays import adopt_strays
from raft_snapshot_agent.observe.systemd import SystemdNotifier
from raft_snapshot_agent.open_files import raise_open_files_limit
from raft_snapshot_agent.service.companions import open_companions
from raft_snapshot_agent.service.daemon import Daemon
from raft_snapshot_agent.service.reloading import FileReloader

_SOON = 700
"""New objects after which the daemon collects garbage, as Python does by default.

With 5,000, what runs leave would take 28 KiB for each of many clusters.
"""


def run(load: Callable[[], LoadedFleet]) -> None:
    """Run the daemon until a signal ends it."""
    share_heap()
    raise_open_files_limit()
    reloader = FileReloader(load, debug=DEBUG in sys.argv)
    active = reloader.load()
    adopt_strays()

    def take_now(cluster: str | None) -> bool:
        return daemon.take_now(cluster)

    companions = open_companions(lambda: reloader.fleet, active.log, take_now)
    daemon = Daemon(active, reloader, notifier=SystemdNotifier(), companions=companions)
    allow_collections(_SOON)
    anyio.run(daemon.run)
