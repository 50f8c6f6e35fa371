"""`run`: the daemon, or one snapshot under its rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from raft_snapshot_agent import __version__, assembly
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.report import Outcome
from raft_snapshot_agent.daemon import Daemon, Duty
from raft_snapshot_agent.errors import NotLeader
from raft_snapshot_agent.logs import Log, configure, log_report
from raft_snapshot_agent.systemd import Notifier


def run(load: Callable[[], Loaded]) -> None:
    """Run the daemon until a signal ends it."""
    import anyio

    orders = ConfiguredOrders(load)
    daemon = Daemon(orders.load(), orders, notifier=Notifier())
    anyio.run(daemon.run)


class ConfiguredOrders:
    """The duty as the configuration has it."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._path: Path | None = None
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Tell whether another file, or another text, is where the configuration was."""
        now = _fingerprint(self._path)
        return now is not None and now != self._seen

    def load(self) -> Duty:
        """Read the configuration and check all of it; a wrong one is looked at once."""
        self._seen = _fingerprint(self._path)
        loaded = self._load()
        self._path = loaded.path
        self._seen = self._seen or _fingerprint(self._path)
        config = loaded.config
        places = assembly.places(config)
        faults = check_to_run(config, os.environ, loaded.place)
        log = _log(loaded)
        for storage, why in faults.items():
            log.error(f"{storage} takes no snapshots as it is: {why}")
        log.info(f"raft-snapshot-agent {__version__}: a snapshot {_appointments(config)}")
        return Duty(assembly.agent(config, places), config.schedule.open(), log)


def _fingerprint(path: Path | None) -> tuple[int, ...] | None:
    """Tell a file from every other one; nothing while there is none, as in the midst of a swap."""
    if path is None:
        return None
    try:
        found = path.stat()  # of what a link leads to: Kubernetes swaps links
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def run_once(loaded: Loaded, *, require_leader: bool) -> int:
    """Take one snapshot now if this agent is the one to work; return the exit code."""
    config = loaded.config
    places = assembly.places(config)
    check_to_run(config, os.environ, loaded.place)
    log = _log(loaded)
    agent = assembly.agent(config, places)

    report = wait_for(agent.run_and_leave)
    log_report(log, report)
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


def _log(loaded: Loaded) -> Log:
    log = configure(loaded.config.log.format, loaded.config.log.level)
    for note in loaded.notes:
        log.info(note)
    return log
