"""Whether this agent takes the snapshots of a cluster."""

from __future__ import annotations

from enum import StrEnum

from raft_snapshot_agent.core.state.report import Report


class Role(StrEnum):
    """Whether this agent takes the snapshots of a cluster."""

    STARTING = "starting"
    """This agent has not tried yet."""
    UNKNOWN = "unknown"
    """Unknown, because only the storages were read, without a daemon."""
    WORKS = "works"
    STANDS_BY = "stands by"
    """Another agent takes them: the node here does not lead, another holds the lease, or another
    stored what this agent could not."""


def find_role(before: Role, report: Report) -> Role:
    """Return the role after a run that was not skipped.

    Who stood by and cannot find out who leads, or who holds the lease, still stands by.
    """
    failed = report.error is not None and not report.responsible
    return Role.STANDS_BY if failed and before is Role.STANDS_BY else Role.WORKS
