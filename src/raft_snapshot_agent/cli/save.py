"""`save`: takes a snapshot now, to all storages, to a file or to standard output."""

from __future__ import annotations

import os
from pathlib import Path

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.operator import by_hand
from raft_snapshot_agent.cli.progress import show_progress
from raft_snapshot_agent.cli.target import binary_output, prepare_snapshot_file
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.advice import acknowledge
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.observe.spans import finish_traces, record_run
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.storage.local.local import LocalStorage
from raft_snapshot_agent.storage.pipe import PipeStorage


def save_everywhere(loaded: Loaded, only: str | None) -> int:
    """Save a snapshot to the configured storages; return the exit code."""
    loaded = by_hand(loaded, os.environ)
    destinations = assembly.destinations(loaded.config, only, cluster=loaded.name)
    check_to_run(loaded.config, os.environ, loaded.position)
    return _finish(assembly.agent(loaded.config, destinations, by_hand=True), loaded)


def save_to_file(loaded: Loaded, target: Path, *, overwrite: bool) -> int:
    """Save a snapshot to a file, which appears only when complete; return the exit code."""
    folder = prepare_snapshot_file(target, overwrite=overwrite)
    destination = Destination(
        "file", LocalStorage(folder), static_name=target.name, with_manifest=False
    )
    loaded = by_hand(loaded, os.environ)
    config = loaded.config.model_copy(update={"spool": folder, "storages": ()})
    check_to_run(config, os.environ, loaded.position)
    return _finish(assembly.agent(config, [destination], by_hand=True))


def save_to_stdout(loaded: Loaded) -> int:
    """Write a verified snapshot to standard output; return the exit code."""
    pipe = PipeStorage(binary_output("save -"))
    destination = Destination("stdout", pipe, static_name="-", with_manifest=False)
    loaded = by_hand(loaded, os.environ)
    config = loaded.config.model_copy(update={"storages": ()})
    check_to_run(config, os.environ, loaded.position)
    return _finish(assembly.agent(config, [destination], by_hand=True))


def _finish(agent: Agent, told: Loaded | None = None) -> int:
    """Take the snapshot and print the result; return the exit code.

    Arguments:
        agent: Takes the snapshot.
        told: The configuration that says where metrics of its storages are written or pushed.
    """
    cluster = "" if told is None else told.name

    async def work() -> Report:
        async with show_progress(lambda: agent.received):
            report = await agent.run_and_leave()
        for why in agent.cluster.session.left_behind:
            output.warn(why)
        record_run(report, cluster)
        for why in await finish_traces():
            output.warn(why)
        if told is not None and told.config.metrics is not None:
            from raft_snapshot_agent.service.run_metrics import leave_metrics

            runs = [(told, report)]
            await leave_metrics(told.config.metrics, runs, output.warn)
        return report

    report = wait_for(work)
    _tell(report, cluster)
    return report.exit_code


def _tell(report: Report, cluster: str) -> None:
    if report.error is not None:
        raise report.error
    snapshot = report.snapshot
    for delivery in report.deliveries:
        if delivery.error is not None:
            output.talk(f"error: {delivery.storage}: {delivery.error}")
        elif snapshot is not None:
            output.talk(
                f"Saved and verified: {delivery.location} (index {snapshot.meta.index},"
                f" {format_size(snapshot.size)}, {delivery.seconds:.1f} s)"
            )
        for warning in delivery.warnings:
            output.warn(f"{delivery.storage}: {warning}")
        if delivery.alarm:
            why = f"{delivery.alarm}; {acknowledge(cluster)}"
            output.talk(f"alarm: retention suspended for {delivery.storage}: {why}")
