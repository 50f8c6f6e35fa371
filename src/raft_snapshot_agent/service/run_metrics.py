"""Metrics of single runs: a file for node_exporter, and a Pushgateway.

Failures are warnings: they never fail a backup.
"""

from __future__ import annotations

import socket
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
from structlog import get_logger

from raft_snapshot_agent import __version__
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.metrics import MetricsSettings
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.metrics.carried import Carried
from raft_snapshot_agent.metrics.exposition import exposition
from raft_snapshot_agent.metrics.table import SNAPSHOTS
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.publisher import StatusPublisher, describe
from raft_snapshot_agent.small_file import read_file
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.http.http import Http, refusal
from raft_snapshot_agent.storage.local.atomic_write import FileAccess, write
from raft_snapshot_agent.threads import in_thread

JOB = "raft-snapshot-agent"
_WITHIN = timedelta(seconds=10)
_MOST = 64 << 20
"""Maximum bytes of an earlier file; with 500 clusters it has three million."""
_READABLE = FileAccess(mode=0o644)
_HARMLESS = "it does not concern the snapshot"


Run = tuple[Loaded, Report | None]
"""A cluster and its report; `None`: its configuration is invalid."""


async def leave_metrics(
    settings: MetricsSettings, runs: Sequence[Run], warn: Callable[[str], object]
) -> None:
    """Write and push the metrics of runs.

    Arguments:
        settings: The file and the Pushgateway.
        runs: The report of each cluster.
        warn: Called with one line for each failure.
    """
    earlier = await in_thread(partial(_read_earlier, settings.textfile))
    status = await _describe_all(runs, earlier)
    steps: list[Callable[[], None]] = []
    if settings.textfile is not None:
        others = runs[0][0].siblings - {loaded.name for loaded, _ in runs}
        content = exposition(status, metrics=earlier.beside(SNAPSHOTS, others))[1]
        steps.append(partial(_write, settings.textfile, content))
    if settings.pushgateway is not None:
        steps.append(partial(_push_all, settings, status))
    for step in steps:
        try:
            await in_thread(step, abandon=True)
        except Exception as error:  # noqa: BLE001 - the snapshots are safe, whatever happens here
            warn(f"{as_failure(error)}")


async def _describe_all(runs: Sequence[Run], earlier: Carried) -> AgentStatus:
    found: dict[str, ClusterStatus] = {}

    async def one(loaded: Loaded, report: Report | None) -> None:
        found[loaded.name] = await _describe(loaded, report, earlier)

    async with anyio.create_task_group() as tasks:
        for loaded, report in runs:
            tasks.start_soon(one, loaded, report)
    ordered = tuple(found[loaded.name] for loaded, _ in runs)
    return AgentStatus(__version__, now := _now(), now, ordered, config_loaded_at=now)


async def _describe(loaded: Loaded, report: Report | None, earlier: Carried) -> ClusterStatus:
    """Return the status of a cluster after a run, from what all its storages list now."""
    if report is None:
        return ClusterStatus(loaded.name, disabled="its configuration is invalid")
    config = loaded.config
    agent = assembly.agent(config, assembly.destinations(config, cluster=loaded.name), by_hand=True)
    service = ActiveCluster(agent, loaded.timing, get_logger(), name=loaded.name)
    began = earlier.resume(describe(service, _now()), report.started_at)
    board = StatusBoard(AgentStatus(__version__, now := _now(), now, (began,)))
    publisher = StatusPublisher(service, board, _now)
    publisher.end(report)
    await agent.list_taken()
    stored = {one.storage for one in report.deliveries if one.error is None}
    publisher.survey(  # with write-only credentials the report counts
        {at: one for at, one in agent.surveys.items() if one.census or at not in stored}
    )
    return board.read().clusters[0]


def _read_earlier(path: Path | None) -> Carried:
    try:
        if path is None:
            return Carried()
        return Carried.read(read_file(path, _MOST).decode(errors="replace"), SNAPSHOTS)
    except OSError:  # if it cannot be read, writing it reports why
        return Carried()


def _write(path: Path, content: bytes) -> None:
    try:
        write(BytesSource(content), path, _READABLE)
    except OSError as error:
        raise AgentError(
            f"cannot write metrics to {path}: {error.strerror or error}",
            hint=f"its folder must exist and be writable for the agent; {_HARMLESS}",
        ) from error


def _push_all(settings: MetricsSettings, status: AgentStatus) -> None:
    for cluster in status.clusters:
        _push(settings, replace(status, clusters=(cluster,)), cluster.name)


def _push(settings: MetricsSettings, status: AgentStatus, cluster: str) -> None:
    """Replace the group of one cluster; the path has its labels."""
    doing = f"cannot push metrics to {settings.pushgateway}"
    hint = f"check url, username and password of `metrics`; {_HARMLESS}"
    kind, content = exposition(status, metrics=SNAPSHOTS)
    http = Http(_WITHIN, TlsOptions(settings.ca_file, skip_verify=False))
    groups = {"job": JOB, "instance": settings.instance or socket.gethostname()}
    if cluster:
        groups["cluster"] = cluster
    path = "".join(f"/{name}{_group(value)}" for name, value in groups.items())
    headers = {"content-type": kind, **_authorization(settings)}
    answer = http.ask(doing, "PUT", f"{settings.pushgateway}/metrics{path}", headers, content)
    if answer.status not in {200, 202}:
        raise refusal(doing, answer, denied=hint, otherwise=hint)


def _group(value: str) -> str:
    """Encode a label's value for the path; in base64 if a path cannot contain it."""
    return f"@base64/{urlsafe_b64encode(value.encode()).decode()}"


def _authorization(settings: MetricsSettings) -> dict[str, str]:
    if settings.username is None or settings.password is None:
        return {}
    pair = f"{settings.username}:{settings.password.resolve()}".encode()
    return {"authorization": f"Basic {b64encode(pair).decode()}"}


def _now() -> datetime:
    return datetime.now(UTC)
