"""`notify test`, and the notifications of `run --once`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from raft_snapshot_agent import __version__
from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.alarms.notices import NoticeMemory
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError, NotificationError
from raft_snapshot_agent.notify import AnyNotifier
from raft_snapshot_agent.notify.courier import Attempt, Courier
from raft_snapshot_agent.notify.memory_file import MemoryFile
from raft_snapshot_agent.notify.message import make_test
from raft_snapshot_agent.notify.notifications import Notifications
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.service.companions import memory_folder

_PATIENCE = 15.0
"""Maximum seconds that `run --once` spends on notifications."""


def test(fleet: LoadedFleet, name: str | None, layout: Format) -> int:
    """Send a test message; return the exit code.

    Raises:
        ConfigError: No notifier is configured, or none is called `name`.
    """
    notifiers = _choose(fleet.first.config.notify, name)
    now = datetime.now(UTC)
    attempts: dict[str, Attempt] = {}

    async def one(notifier: AnyNotifier) -> None:
        attempts[notifier.name or notifier.type] = await _test(notifier, fleet.clusters, now)

    async def every() -> None:
        async with anyio.create_task_group() as tasks:
            for notifier in notifiers:
                tasks.start_soon(one, notifier)

    wait_for(every)
    rows = [_row(notifier, attempts[notifier.name or notifier.type]) for notifier in notifiers]
    output.table(rows, layout)
    failed = [NotificationError.exit_code for one in attempts.values() if one.error]
    return worst(failed, len(attempts))


def describe_runs(
    faults: Mapping[str, object],
    served: Mapping[str, Sequence[Destination]],
    reports: Mapping[str, Report],
) -> tuple[ClusterStatus, ...]:
    """Return the status of each cluster after its one run.

    Arguments:
        faults: By cluster; an error: it is disabled.
        served: By cluster, its storages.
        reports: By cluster, what its run did.
    """
    found: list[ClusterStatus] = []
    for name, fault in faults.items():
        if isinstance(fault, ConfigError):
            found.append(ClusterStatus(name, disabled="; ".join(fault.lines)))
            continue
        storages = tuple(
            StorageStatus(one.name, one.storage.kind, one.required) for one in served[name]
        )
        found.append(ClusterStatus(name, storages).ended(reports[name]))
    return tuple(found)


async def tell_once(fleet: LoadedFleet, clusters: tuple[ClusterStatus, ...], log: Log) -> None:
    """Send notifications about finished runs, for a limited time, as the process is to end."""
    now = datetime.now(UTC)
    wanted = fleet.first.config.notify
    file = MemoryFile(memory_folder(fleet), fleet.first.source)
    told = Notifications(lambda: wanted, log, file)
    await told.tell_once(AgentStatus(__version__, now, now, clusters), _PATIENCE)


async def _test(notifier: AnyNotifier, clusters: Collection[str], now: datetime) -> Attempt:
    """Send the test message, or one for each cluster where each has its own check."""
    courier = Courier(notifier, NoticeMemory())
    attempt = Attempt()
    for cluster in (notifier.clusters or clusters) if notifier.per_run else ("",):
        attempt = await courier.send(make_test(now, cluster))
        if attempt.error:
            return replace(attempt, error=": ".join(filter(None, (cluster, attempt.error))))
    return attempt


def _choose(notifiers: Sequence[AnyNotifier], name: str | None) -> Sequence[AnyNotifier]:
    if not notifiers:
        raise ConfigError(
            "no notifier is configured",
            hint="add one: `notify: [{type: webhook, url: 'env://WEBHOOK_URL'}]`",
        )
    chosen = [one for one in notifiers if name in {None, one.name}]
    if not chosen:
        names = ", ".join(str(one.name) for one in notifiers)
        raise ConfigError(f"no notifier is called {name!r}", hint=f"there are: {names}")
    return chosen


def _row(notifier: AnyNotifier, attempt: Attempt) -> dict[str, str]:
    return {
        "notifier": str(notifier.name),
        "type": notifier.type,
        "result": "failed" if attempt.error else "ok",
        "answer": attempt.error or attempt.said,
    }
