"""`run --once`: one snapshot under the daemon's rules. Also the start that both share."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import DEBUG
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run, find_notifier_faults
from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError, NotLeader, all_faults
from raft_snapshot_agent.observe.debug_log import CLUSTER
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log, configure
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.spans import finish_traces, record_run
from raft_snapshot_agent.open_files import raise_open_files_limit
from raft_snapshot_agent.service import assembly

Faults = Mapping[str, ConfigError]
"""The configuration error of each faulty storage."""


def run_once(fleet: LoadedFleet, *, require_leader: bool) -> int:
    """Take one snapshot now of each cluster that this agent is responsible for.

    Returns:
        One exit code for all clusters, combined as for several storages.
    """
    raise_open_files_limit()
    faults = find_faults(fleet, required=())
    log = open_log(fleet)
    log_notifier_faults(fleet, log)
    limiter = ConcurrencyLimiter(fleet.concurrency)
    codes: dict[str, int] = {}
    served: dict[str, Sequence[Destination]] = {}
    reports: dict[str, Report] = {}

    async def one(name: str, loaded: Loaded) -> None:
        CLUSTER.set(name)
        told = bind_cluster(log, name)
        if isinstance(fault := faults[name], ConfigError):
            log_disabled(fault, told)
            codes[name] = fault.exit_code
            return
        destinations = served[name] = assembly.destinations(loaded.config, cluster=name)
        agent = assembly.agent(loaded.config, destinations, limiter=limiter)
        report = await agent.run_and_leave()
        Journal(told, cluster=name, seed=loaded.dialect == "seed").report(report)
        for why in agent.cluster.session.left_behind:
            told.warning(why, fact=LogEvent.TOKEN_TROUBLE)
        codes[name] = _exit_code(report, require_leader=require_leader)
        reports[name] = report
        record_run(report, name)

    async def every() -> None:
        async with anyio.create_task_group() as tasks:
            for name, loaded in fleet.clusters.items():
                tasks.start_soon(one, name, loaded)
        for why in await finish_traces():
            log.warning(why, fact=LogEvent.TRACES_NOT_SENT)
        if fleet.first.config.notify:
            from raft_snapshot_agent.cli.notifying import describe_runs, tell_once

            await tell_once(fleet, describe_runs(faults, served, reports), log)
        if fleet.first.config.metrics is not None:
            from raft_snapshot_agent.service.run_metrics import leave_metrics

            done = [(one, reports.get(name)) for name, one in fleet.clusters.items()]
            tell = partial(log.warning, fact=LogEvent.METRICS_NOT_LEFT)
            await leave_metrics(fleet.first.config.metrics, done, tell)

    wait_for(every)
    return worst([code for code in codes.values() if code], len(codes))


def find_faults(
    fleet: LoadedFleet,
    *,
    required: Collection[str],
    made: set[Path] | None = None,
) -> dict[str, Faults | ConfigError]:
    """Check of each cluster what can be checked without contacting servers or storages.

    Arguments:
        fleet: The clusters.
        required: Names of the clusters that must be valid; of the others, one must be.
        made: Folders of storages that were there before and are not created again, to which
            those of these clusters are added.

    Returns:
        By cluster, the errors of some of its storages, or of the whole cluster.

    Raises:
        ConfigError: No cluster is valid, or a required one is not.
    """
    found: dict[str, Faults | ConfigError] = {}
    for name, loaded in fleet.clusters.items():
        try:
            assembly.destinations(loaded.config)
            found[name] = check_to_run(loaded.config, os.environ, loaded.position, made)
        except ConfigError as error:
            found[name] = error
    errors = {name: one for name, one in found.items() if isinstance(one, ConfigError)}
    if len(errors) == len(found) or not errors.keys().isdisjoint(required):
        raise all_faults([one for error in errors.values() for one in error.each])
    return found


def log_disabled(fault: ConfigError, log: Log) -> None:
    """Log why a cluster is disabled."""
    for line in fault.lines:
        log.error(
            f"This cluster is disabled, its configuration is invalid: {line}",
            fact=LogEvent.CLUSTER_DISABLED,
        )


def log_notifier_faults(fleet: LoadedFleet, log: Log) -> None:
    """Log configuration errors of notifiers; snapshots are taken nevertheless."""
    if notifiers := fleet.first.config.notify:
        faults = find_notifier_faults(fleet.first.config, fleet.first.position, fleet.clusters)
        for fault in faults:
            log.error(
                f"A notifier is disabled, its configuration is invalid: {fault}",
                fact=LogEvent.NOTIFIER_INVALID,
            )
        names = ", ".join(str(one.name) for one in notifiers)
        log.info(f"Notifiers: {names}", fact=LogEvent.NOTIFIERS)


def bind_cluster(log: Log, cluster: str) -> Log:
    """Return a log that adds the cluster's name to each line."""
    bound: Log = log.bind(cluster=cluster) if cluster else log
    return bound


def open_log(fleet: LoadedFleet) -> Log:
    """Set up the log, and log which configuration was loaded."""
    settings = fleet.first.config.log
    log = configure(settings.format, "debug" if DEBUG in sys.argv else settings.level)
    log.info(f"Configuration: {fleet.first.source}", fact=LogEvent.CONFIGURATION_LOADED)
    for warning, names in fleet.warnings.items():
        one = names[0] if len(names) == 1 else ""
        several = f" (clusters: {enumerate_names(names)})" if len(names) > 1 else ""
        bind_cluster(log, one).warning(warning + several, fact=LogEvent.CONFIGURATION_WARNING)
    for note in fleet.notes:
        log.info(note, fact=LogEvent.CONFIGURATION_NOTE)
    return log


def _exit_code(report: Report, *, require_leader: bool) -> int:
    if report.outcome is Outcome.SKIPPED:
        return NotLeader.exit_code if require_leader else 0
    return report.exit_code
