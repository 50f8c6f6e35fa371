"""`run --once`: one snapshot under the daemon's rules."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import anyio

from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import DEBUG
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError, NotLeader
from raft_snapshot_agent.observe.debug_log import CLUSTER
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.observe.spans import finish_traces, record_run
from raft_snapshot_agent.open_files import raise_open_files_limit
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.starting import (
    bind_cluster,
    find_faults,
    log_disabled,
    log_notifier_faults,
    open_log,
)


def run_once(fleet: LoadedFleet, *, require_leader: bool) -> int:
    """Take one snapshot now of each cluster that this agent is responsible for.

    Returns:
        One exit code for all clusters, combined as for several storages.
    """
    raise_open_files_limit()
    faults = find_faults(fleet, required=())
    log = open_log(fleet, debug=DEBUG in sys.argv)
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


def _exit_code(report: Report, *, require_leader: bool) -> int:
    if report.outcome is Outcome.SKIPPED:
        return NotLeader.exit_code if require_leader else 0
    return report.exit_code
