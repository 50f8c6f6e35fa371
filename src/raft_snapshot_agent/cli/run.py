"""`run`: the daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.cli.run_once import (
    Faults,
    bind_cluster,
    find_faults,
    log_notifier_faults,
    open_log,
)
from raft_snapshot_agent.cli.waiting import allow_collections
from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.heap import share_heap
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.strays import adopt_strays
from raft_snapshot_agent.observe.systemd import Notifier
from raft_snapshot_agent.open_files import raise_open_files_limit
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.cluster_service import ClusterService
from raft_snapshot_agent.service.companions import open_companions
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon
from raft_snapshot_agent.service.drill_plan import plan_drills
from raft_snapshot_agent.service.scrub_plan import plan_scrubs

_SOON = 700
"""New objects after which the daemon collects garbage, as Python does by default.

With 5,000, what runs leave would take 28 KiB for each of many clusters.
"""


def run(load: Callable[[], LoadedFleet]) -> None:
    """Run the daemon until a signal ends it."""
    share_heap()
    raise_open_files_limit()
    reloader = FileReloader(load)
    active = reloader.load()
    adopt_strays()

    def take_now(cluster: str | None) -> bool:
        return daemon.take_now(cluster)

    companions = open_companions(lambda: reloader.fleet, active.log, take_now)
    daemon = Daemon(active, reloader, notifier=Notifier(), companions=companions)
    allow_collections(_SOON)
    anyio.run(daemon.run)


class FileReloader:
    """Load the cluster services from the configuration file."""

    def __init__(self, load: Callable[[], LoadedFleet]) -> None:
        self._load = load
        self._path: Path | None = None
        self._seen: tuple[int, ...] | None = None
        self._begun = False
        self.fleet = LoadedFleet({})
        """The configuration as it was last read."""

    def changed(self) -> bool:
        """Return whether the configuration file or its content has changed."""
        now = _fingerprint(self._path)
        return now is not None and now != self._seen

    def load(self) -> ActiveConfig:
        """Read and check the whole configuration; an invalid one is not read again until it
        changes.

        At the start, errors of one cluster must not stop the snapshots of the others. On a reload
        any error refuses the new configuration, and the previous one stays active.
        """
        self._seen = _fingerprint(self._path)
        before, fleet = self.fleet, self._load()
        self._path = fleet.first.path
        self._seen = self._seen or _fingerprint(self._path)
        faults = find_faults(fleet, suffices=not self._begun)
        log = open_log(fleet)
        if self._begun and fleet.web != before.web:
            log.warning(
                "Changes of web take effect after a restart of the agent",
                fact=LogEvent.RESTART_NEEDED,
            )
        self.fleet = fleet
        limiter = ConcurrencyLimiter(fleet.concurrency)
        active: dict[str, ClusterService] = {}
        disabled: dict[str, str] = {}
        for name, loaded in fleet.clusters.items():
            told = bind_cluster(log, name)
            if isinstance(fault := faults[name], ConfigError):
                disabled[name] = "; ".join(fault.lines)
                for line in fault.lines:
                    told.error(
                        f"This cluster is disabled, its configuration is invalid: {line}",
                        fact=LogEvent.CLUSTER_DISABLED,
                    )
            else:
                active[name] = _service(name, loaded, fault, limiter, told)
        log_notifier_faults(fleet, log)
        self._begun = True
        return ActiveConfig(active, log, disabled, str(self._path or ""))


def _service(
    name: str,
    loaded: Loaded,
    faults: Faults,
    limiter: ConcurrencyLimiter,
    log: Log,
) -> ClusterService:
    config = loaded.config
    for storage, fault in faults.items():
        for line in fault.lines:
            log.error(
                f"Storage {storage} cannot be used now, and each run tries it again: {line}",
                fact=LogEvent.STORAGE_DISABLED,
            )
    agent = assembly.agent(config, assembly.destinations(config), limiter=limiter)
    log.info(
        f"raft-snapshot-agent {__version__}: a snapshot {_appointments(config)}",
        fact=LogEvent.STARTED,
    )
    return ClusterService(
        agent,
        loaded.timing,
        log,
        seed=loaded.dialect == "seed",
        patience=assembly.patience(config),
        shared=config.run_on == "leader" or config.lease is not None,
        drills=plan_drills(config, loaded.position),
        name=name,
        scrubs=plan_scrubs(config),
    )


def _fingerprint(path: Path | None) -> tuple[int, ...] | None:
    """Return what identifies this version of a file; `None` if it is missing, as in a swap."""
    if path is None:
        return None
    try:
        found = path.stat()  # follow links: Kubernetes replaces the link
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _appointments(config: Config) -> str:
    """Describe the schedules of the storages: `every 1h to local, s3; every 24h to archive`."""
    names: dict[str, list[str]] = {}
    for storage in config.storages:
        when = str(storage.schedule or config.schedule)
        names.setdefault(when, []).append(storage.name or storage.type)
    return "; ".join(f"{when} to {', '.join(where)}" for when, where in names.items())
