"""Check everything without changing anything: one function per check, each with advice."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from raft_snapshot_agent.doctor import clocks, host, lease, members, probe, server, stores, versions
from raft_snapshot_agent.doctor.results import (
    Check,
    CheckContext,
    CheckResult,
    Status,
    failure,
    warning,
)
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.vault.visit import leave_cluster

CHECKS: Mapping[str, Check] = {
    "configuration": host.configuration,
    "nodes": server.nodes,
    "tls": server.tls,
    "leader": server.leader,
    "namespace": server.namespace,
    "login": server.login,
    "rights": server.rights,
    "token": server.token,
    "lease": lease.lease,
    "storages": stores.storages,
    "clock": clocks.clocks,
    "members": members.members,
    "versions": versions.versions,
    "spool": host.spool,
    "room": host.room,
    "probe": probe.report_untried,
}
_ORDER = (Status.FAILURE, Status.WARNING, Status.SKIPPED, Status.SUCCESS)


PROBE: Mapping[str, Check] = {"probe": probe.probe}
"""Replaces the check of that name: it writes a small object and removes it."""


async def examine(context: CheckContext, checks: Mapping[str, Check] = CHECKS) -> list[CheckResult]:
    """Run every check in turn and return the results. Raises nothing."""
    found: list[CheckResult] = []
    try:
        for name, check in checks.items():
            try:
                found += await check(context)
            except Exception as error:  # noqa: BLE001 - one check never hides another
                found.append(failure(name, as_failure(error)))
    finally:
        with anyio.CancelScope(shield=True):
            found += await _leave(context)
    return found


def worst_first(results: list[CheckResult]) -> list[CheckResult]:
    """Sort results by severity, and equal ones in the order of the checks."""
    return sorted(results, key=lambda result: _ORDER.index(result.status))


async def _leave(context: CheckContext) -> list[CheckResult]:
    """Revoke the token of the login; report if that is refused, as the daemon's would be."""
    await leave_cluster(context.cluster, context.config.vault.timeout.total_seconds())
    context.cluster.close()
    refused = context.cluster.session.unrevoked
    return [] if refused is None else [warning("login", refused.message, refused.hint)]
