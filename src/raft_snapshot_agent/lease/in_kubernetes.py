"""A lease that Kubernetes keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator

from raft_snapshot_agent.core.leases.lease import LeaseStore
from raft_snapshot_agent.fields import require_extra
from raft_snapshot_agent.lease.settings import USUAL_NAME, LeaseSettings, StorageRef

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def _subdomain(name: str) -> str:
    if not _SUBDOMAIN.fullmatch(name):
        raise ValueError("must be a name as Kubernetes has them: small letters, digits, - and .")
    return name


class KubernetesLease(LeaseSettings):
    """The lease record is a Kubernetes Lease object."""

    type: Literal["kubernetes"]
    namespace: Annotated[str, AfterValidator(_subdomain)] | None = None
    """Namespace of the Lease; by default the pod's, or that of the kubeconfig's context."""
    name: Annotated[str, AfterValidator(_subdomain)] = USUAL_NAME
    """Name of the Lease."""

    @property
    def identity(self) -> object:
        return (self.namespace, self.name)

    @property
    def key(self) -> str:
        return "type"

    def lease_store(self, storages: Iterable[StorageRef]) -> LeaseStore:  # noqa: ARG002 - it needs none
        require_extra("kubernetes", "type kubernetes", "lightkube")
        from raft_snapshot_agent.lease.kubernetes_store import KubernetesLeaseStore

        return KubernetesLeaseStore(self.name, self.namespace)

    def check(self) -> None:
        from raft_snapshot_agent.lease.kubeconfig import configuration

        configuration()
