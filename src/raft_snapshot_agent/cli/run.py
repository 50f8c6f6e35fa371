"""`run`: the daemon, or one snapshot under its rules."""

from __future__ import annotations

import os

from raft_snapshot_agent import __version__, assembly
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.report import Outcome
from raft_snapshot_agent.daemon import Daemon
from raft_snapshot_agent.errors import NotLeader
from raft_snapshot_agent.logs import Log, configure, log_report


def run(loaded: Loaded) -> None:
    """Run the daemon until a signal ends it."""
    import anyio

    config = loaded.config
    places = assembly.places(config)
    faults = check_to_run(config, os.environ, loaded.place)
    log = _log(loaded)
    for storage, why in faults.items():
        log.error(f"{storage} takes no snapshots as it is: {why}")
    every = config.schedule.every
    when = f"every {format_duration(every)}" if every else f"at {config.schedule.cron}"
    where = ", ".join(place.name for place in places)
    log.info(f"raft-snapshot-agent {__version__}: a snapshot {when} to {where}")
    daemon = Daemon(assembly.agent(config, places), config.schedule.open(), log)
    anyio.run(daemon.run)


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


def _log(loaded: Loaded) -> Log:
    log = configure(loaded.config.log.format, loaded.config.log.level)
    for note in loaded.notes:
        log.info(note)
    return log
