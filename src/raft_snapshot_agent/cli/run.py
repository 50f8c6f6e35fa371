"""`run`: the daemon, or one snapshot under its rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.cli.options import DEBUG
from raft_snapshot_agent.cli.stored import worst
from raft_snapshot_agent.cli.waiting import collect_as_usual, wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.load import Loaded, LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.report import Outcome, Report
from raft_snapshot_agent.errors import ConfigError, NotLeader, all_faults
from raft_snapshot_agent.observe.logs import Log, configure
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.systemd import Notifier
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.daemon import ActiveConfig, ClusterService, Daemon


def run(load: Callable[[], LoadedFleet]) -> None:
    """Run the daemon until a signal ends it."""
    reloader = FileReloader(load)
    daemon = Daemon(reloader.load(), reloader, notifier=Notifier())
    collect_as_usual()
    anyio.run(daemon.run)


class FileReloader:
    """The duties as the configuration has them."""

    def __init__(self, load: Callable[[], LoadedFleet]) -> None:
        self._load = load
        self._path: Path | None = None
        self._seen: tuple[int, ...] | None = None
        self._begun = False

    def changed(self) -> bool:
        """Tell whether another file, or another text, is where the configuration was."""
        now = _fingerprint(self._path)
        return now is not None and now != self._seen

    def load(self) -> ActiveConfig:
        """Read the configuration and check all of it; a wrong one is looked at once.

        At the start, what is wrong with one cluster must not cost the others their snapshots;
        later on it is refused, for the old one is there.
        """
        self._seen = _fingerprint(self._path)
        fleet = self._load()
        self._path = fleet.first.path
        self._seen = self._seen or _fingerprint(self._path)
        faults = _faults(fleet, suffices=not self._begun)
        log = _log(fleet)
        limiter = ConcurrencyLimiter(fleet.concurrency)
        active: dict[str, ClusterService] = {}
        for name, loaded in fleet.clusters.items():
            told = _about(log, name)
            if isinstance(fault := faults[name], ConfigError):
                for line in fault.lines:
                    told.error(f"This cluster is disabled, its configuration is invalid: {line}")
            else:
                phase = fleet.spread * len(active)
                active[name] = _service(loaded, fault, limiter, told, phase)
        self._begun = True
        return ActiveConfig(active, log)


_Faults = Mapping[str, ConfigError]


def _service(
    loaded: Loaded, faults: _Faults, limiter: ConcurrencyLimiter, log: Log, phase: timedelta
) -> ClusterService:
    config = loaded.config
    for storage, fault in faults.items():
        for line in fault.lines:
            log.error(f"Storage {storage} is disabled, its configuration is invalid: {line}")
    agent = assembly.agent(config, assembly.destinations(config), limiter=limiter)
    log.info(f"raft-snapshot-agent {__version__}: a snapshot {_appointments(config)}")
    return ClusterService(
        agent,
        config.schedule.open(),
        log,
        seed=loaded.dialect == "seed",
        patience=assembly.patience(config),
        phase=phase,
    )


def _faults(fleet: LoadedFleet, *, suffices: bool) -> dict[str, _Faults | ConfigError]:
    """Check all that can be known of each cluster without contacting anybody.

    Arguments:
        fleet: The clusters.
        suffices: Whether it is enough that one of them is sound.

    Returns:
        By cluster, what is wrong with some of its storages, or with all of it.

    Raises:
        ConfigError: No cluster is sound, or one is not and all are to be.
    """
    found: dict[str, _Faults | ConfigError] = {}
    for name, loaded in fleet.clusters.items():
        try:
            assembly.destinations(loaded.config)
            found[name] = check_to_run(loaded.config, os.environ, loaded.position)
        except ConfigError as error:
            found[name] = error
    errors = [one for one in found.values() if isinstance(one, ConfigError)]
    if errors and (not suffices or len(errors) == len(found)):
        raise all_faults([one for error in errors for one in error.each])
    return found


def _fingerprint(path: Path | None) -> tuple[int, ...] | None:
    """Tell a file from every other one; nothing while there is none, as in the midst of a swap."""
    if path is None:
        return None
    try:
        found = path.stat()  # of what a link leads to: Kubernetes swaps links
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def run_once(fleet: LoadedFleet, *, require_leader: bool) -> int:
    """Take one snapshot now of each cluster for which this agent is the one to work.

    Returns:
        The exit code, over several clusters as over several storages.
    """
    faults = _faults(fleet, suffices=True)
    log = _log(fleet)
    limiter = ConcurrencyLimiter(fleet.concurrency)
    codes: dict[str, int] = {}

    async def one(name: str, loaded: Loaded) -> None:
        told = _about(log, name)
        if isinstance(fault := faults[name], ConfigError):
            for line in fault.lines:
                told.error(f"This cluster is disabled, its configuration is invalid: {line}")
            codes[name] = fault.exit_code
            return
        agent = assembly.agent(loaded.config, assembly.destinations(loaded.config), limiter=limiter)
        report = await agent.run_and_leave()
        Journal(told, seed=loaded.dialect == "seed").report(report)
        codes[name] = _exit_code(report, require_leader=require_leader)

    async def every() -> None:
        async with anyio.create_task_group() as tasks:
            for name, loaded in fleet.clusters.items():
                tasks.start_soon(one, name, loaded)

    wait_for(every)
    return worst([code for code in codes.values() if code], len(codes))


def _exit_code(report: Report, *, require_leader: bool) -> int:
    if report.outcome is Outcome.SKIPPED:
        return NotLeader.exit_code if require_leader else 0
    return report.exit_code


def _appointments(config: Config) -> str:
    """Say when which storages get a snapshot: `every 1h to local, s3; every 24h to archive`."""
    names: dict[str, list[str]] = {}
    for storage in config.storages:
        when = str(storage.schedule or config.schedule)
        names.setdefault(when, []).append(storage.name or storage.type)
    return "; ".join(f"{when} to {', '.join(where)}" for when, where in names.items())


def _about(log: Log, cluster: str) -> Log:
    bound: Log = log.bind(cluster=cluster) if cluster else log
    return bound


def _log(fleet: LoadedFleet) -> Log:
    settings = fleet.first.config.log
    log = configure(settings.format, "debug" if DEBUG in sys.argv else settings.level)
    log.info(f"Configuration: {fleet.first.source}")
    for name, loaded in fleet.clusters.items():
        for warning in loaded.warnings:
            _about(log, name).warning(warning)
        for note in loaded.notes:
            log.info(note)
    return log
