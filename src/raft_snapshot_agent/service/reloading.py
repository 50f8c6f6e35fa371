"""Reload the configuration file: which clusters are active, and which keep their objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

from raft_snapshot_agent import __version__
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.config.clusters import list_identities
from raft_snapshot_agent.config.keys import KeyPath
from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.web import WebSettings
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig
from raft_snapshot_agent.service.drill_plan import plan_drills
from raft_snapshot_agent.service.preload import preload
from raft_snapshot_agent.service.scrub_plan import plan_scrubs
from raft_snapshot_agent.service.starting import (
    Faults,
    bind_cluster,
    find_faults,
    log_disabled,
    log_notifier_faults,
    open_log,
)

_CHECK_AGAIN = 30.0
"""Seconds between two looks whether the cause of an error in the configuration is gone."""
_REST = 20
"""The pause after a look is this many times as long, as thousands of clusters take seconds."""


class FileReloader:
    """Load the cluster services from the configuration file."""

    def __init__(
        self,
        load: Callable[[], LoadedFleet],
        *,
        debug: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepare without reading.

        Arguments:
            load: Reads the configuration.
            debug: Whether to log all requests, whatever the configuration says.
            clock: Returns a time in seconds.
        """
        self._load = load
        self._debug = debug
        self._clock = clock
        self._path: Path | None = None
        self._seen: tuple[int, ...] | None = None
        self._wrong: tuple[str, ...] = ()
        """What was wrong with the configuration when it was last read."""
        self._check_at = 0.0
        """When to look again whether that is so."""
        self._services: dict[str, ActiveCluster] | None = None
        """The active clusters; `None` before the start."""
        self._served: WebSettings | None = None
        """The page of the start, which a reload does not change."""
        self._made: set[Path] = set()
        """Folders of storages that were there since the start."""
        self._limiter = ConcurrencyLimiter(1)
        self.fleet = LoadedFleet({})
        """The active configuration."""

    def changed(self) -> bool:
        """Return whether the file has changed, or what is wrong with it.

        A file that it names, such as a secret, may come later than the configuration.
        """
        now = _fingerprint(self._path)
        if now is None and self._path is not None:
            return False
        return now != self._seen or (bool(self._wrong) and self._is_mended())

    def load(self) -> ActiveConfig:
        """Read and check the whole configuration; a cluster that has not changed keeps its service.

        At the start, errors of one cluster must not stop the snapshots of the others. On a reload
        an error of a cluster that is active or new refuses the new configuration, and the previous
        one stays active.
        """
        self._seen = _fingerprint(self._path)
        try:
            fleet, faults = self._read()
        except Exception as error:
            self._wrong = tuple(as_failure(error).lines)
            raise
        self._wrong = _list_lines(faults)
        self._path = fleet.first.path
        self._seen = self._seen or _fingerprint(self._path)
        return self._activate(fleet, faults)

    def _is_mended(self) -> bool:
        """Return whether something else is wrong now, or nothing; look only now and then."""
        if self._clock() < self._check_at:
            return False
        try:
            _, faults = self._read()
        except Exception as error:  # noqa: BLE001 - to be compared with the one before
            return tuple(as_failure(error).lines) != self._wrong
        return _list_lines(faults) != self._wrong

    def _read(self) -> tuple[LoadedFleet, Mapping[str, Faults | ConfigError]]:
        began = self._clock()
        try:
            fleet = self._load()
            disabled = self.fleet.clusters.keys() - (self._services or {})
            required = [] if self._services is None else fleet.clusters.keys() - disabled
            return fleet, find_faults(fleet, required=required, made=self._made)
        finally:
            now = self._clock()
            self._check_at = now + max(_CHECK_AGAIN, _REST * (now - began))

    def _activate(
        self, fleet: LoadedFleet, faults: Mapping[str, Faults | ConfigError]
    ) -> ActiveConfig:
        log = open_log(fleet, debug=self._debug)
        before, known = self.fleet, self._services or {}
        if self._services is None:
            self._served = fleet.web
        elif fleet.web not in (before.web, self._served):
            log.warning(
                "Changes of web take effect after a restart of the agent",
                fact=LogEvent.RESTART_NEEDED,
            )
        alike = (fleet.concurrency, fleet.spread) == (before.concurrency, before.spread)
        if not alike:
            self._limiter = ConcurrencyLimiter(fleet.concurrency)
        active: dict[str, ActiveCluster] = {}
        disabled: dict[str, str] = {}
        for name, loaded in fleet.clusters.items():
            told = bind_cluster(log, name)
            if isinstance(fault := faults[name], ConfigError):
                disabled[name] = "; ".join(fault.lines)
                log_disabled(fault, told)
            elif alike and name in known and _is_same(loaded, before.clusters[name]):
                active[name] = _at_place(known[name], loaded)
            else:
                active[name] = self._open(name, loaded, fault, told)
        log_notifier_faults(fleet, log)
        preload(fleet)
        self.fleet, self._services = fleet, active
        return ActiveConfig(active, log, disabled, str(self._path or ""))

    def _open(self, name: str, loaded: Loaded, faults: Faults, log: Log) -> ActiveCluster:
        config = loaded.config
        for storage, fault in faults.items():
            for line in fault.lines:
                log.error(
                    f"Storage {storage} cannot be used now, and each run tries it again: {line}",
                    fact=LogEvent.STORAGE_DISABLED,
                )
        agent = assembly.agent(
            config, assembly.destinations(config, cluster=name), limiter=self._limiter
        )
        log.info(
            f"raft-snapshot-agent {__version__}: a snapshot {_appointments(config)}",
            fact=LogEvent.STARTED,
        )

        def position(path: KeyPath) -> str:
            """Return where a key is now: lines may move without a change of the cluster."""
            return self.fleet.clusters.get(name, loaded).position(path)

        return ActiveCluster(
            agent,
            loaded.timing,
            log,
            seed=loaded.dialect == "seed",
            patience=assembly.patience(config),
            shared=config.run_on == "leader" or config.lease is not None,
            drills=plan_drills(config, position, name),
            name=name,
            scrubs=plan_scrubs(config, name),
            places=frozenset(place for *_, place in list_identities(config)),
        )


def _is_same(now: Loaded, before: Loaded) -> bool:
    """Return whether two configurations of a cluster need the same objects.

    Its place among the others does not count: it changes the delay of its slots only.
    """
    return (now.dialect, _needed(now.config)) == (before.dialect, _needed(before.config))


def _at_place(known: ActiveCluster, loaded: Loaded) -> ActiveCluster:
    """Return an unchanged cluster with the delay of its present place among the others."""
    return known if loaded.phase == known.timing.phase else replace(known, timing=loaded.timing)


def _needed(config: Config) -> Config:
    """Return a configuration without what the objects of a cluster do not use."""
    return config.model_copy(update={"notify": (), "web": None, "metrics": None})


def _list_lines(faults: Mapping[str, Faults | ConfigError]) -> tuple[str, ...]:
    """List the errors of clusters and of single storages.

    Each run tries such a storage again, but a folder that was never there is made by a look only.
    """
    found = (
        (fault,) if isinstance(fault, ConfigError) else fault.values() for fault in faults.values()
    )
    return tuple(line for errors in found for error in errors for line in error.lines)


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
