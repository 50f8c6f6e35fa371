"""The lease that lets one of several agents work: a file per kind, and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from raft_snapshot_agent.registry import Registry

LEASES = Registry(
    "type",
    __name__,
    {"storage": "in_storage:StorageLease", "kubernetes": "in_kubernetes:KubernetesLease"},
)
"""By the `type` in their settings; each is loaded when it is configured."""
if TYPE_CHECKING:  # each kind loads what all have in common
    from raft_snapshot_agent.lease.settings import LeaseSettings

    AnyLease = LeaseSettings
else:
    AnyLease = Annotated[Any, LEASES]
