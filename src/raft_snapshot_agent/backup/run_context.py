"""The values of one run that all its steps share, and what is open from earlier runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raft_snapshot_agent import __version__
from raft_snapshot_agent.backup.fencing import FencedSource
from raft_snapshot_agent.core.snapshots.naming import Naming, RunId
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest, Snapshot
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.uptime import instant
from raft_snapshot_agent.vault.leader import Leader


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Stored snapshots whose state is not known yet, by storage."""

    doubtful: dict[str, Manifest] = field(default_factory=dict)
    """The snapshot whose upload failed; it may have arrived nevertheless."""
    unvouched: defaultdict[str, list[Manifest]] = field(
        default_factory=lambda: defaultdict(list[Manifest])
    )
    """Snapshots without a manifest until the storage can be listed, oldest first."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The values of one run, from the download to the manifests."""

    run: RunId
    naming: Naming
    leader: Leader
    spool: Spool
    clock: Callable[[], datetime]
    held_lease: HeldLease | None = None
    """The held lease, if one is configured; the run fails when it is lost."""
    began: Instant = field(default_factory=instant)
    """Monotonic time before the snapshot was requested."""
    unsettled: Unsettled = field(default_factory=Unsettled)
    reused: Mapping[str, str] = field(default_factory=dict)
    """By storage, the name of a snapshot that may have arrived in this slot; it is replaced."""

    @property
    def source(self) -> UploadSource:
        return self.spool if self.held_lease is None else FencedSource(self.spool, self.held_lease)

    def may_write(self) -> bool:
        """Return whether no other agent works: the lease, if one is configured, is held."""
        return self.held_lease is None or self.held_lease.held()

    async def name_for(self, destination: Destination) -> str:
        meta = await in_thread(self.spool.meta)
        return (
            destination.static_name
            or self.reused.get(destination.name)
            or self.naming.name(self.run, meta.index)
        )

    def manifest(self, name: str, snapshot: Snapshot, seconds: float) -> Manifest:
        return Manifest(
            snapshot=name,
            taken_at=self.run.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            index=snapshot.meta.index,
            term=snapshot.meta.term,
            size=snapshot.size,
            sha256=snapshot.sha256,
            duration=round(seconds, 3),
            cluster_id=self.leader.identity.cluster_id,
            cluster_name=self.leader.identity.cluster_name,
            product=self.leader.identity.product,
            version=self.leader.identity.version,
            node=self.leader.node.address,
            agent_version=__version__,
            clock=self.began.clock,
            began=self.began.seconds,
            ended=instant().seconds,
            leading_since=self.leader.active_since,
            counts=snapshot.counts,
        )
