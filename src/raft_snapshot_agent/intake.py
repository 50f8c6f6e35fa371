"""The way into the spool: from the server at full speed, and past the verifier."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing

import anyio

from raft_snapshot_agent.core.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot import Snapshot
from raft_snapshot_agent.errors import AgentError, Interrupted, StaleSnapshot, Stopped
from raft_snapshot_agent.spool import Spool
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.stream import SnapshotStream

_STEP = 1 << 20


class Download:
    """The leader's stream on its way into a spool.

    Nothing but the local disk is ever waited for: a reader that stalls can freeze the leader.
    """

    def __init__(self, cluster: Cluster, leader: Leader, spool: Spool, deadline: float) -> None:
        """Prepare a download.

        Arguments:
            cluster: Opens the stream and follows redirects.
            leader: Where to ask.
            spool: Where to put it; it is failed when the download fails.
            deadline: Seconds the whole download may take.
        """
        self._cluster = cluster
        self._leader = leader
        self._spool = spool
        self._deadline = deadline
        self._stream: SnapshotStream | None = None

    async def run(self) -> None:
        """Download; a failure is the spool's, nothing is raised."""
        # A server that never answers is left alone: a failed spool takes no more from it.
        await in_thread(self._run, abandon=True)

    def stop(self) -> None:
        """End the download, from any thread."""
        self._spool.fail(Stopped("the agent was told to stop; the snapshot is dropped"))
        if self._stream is not None:
            self._stream.stop()

    def _run(self) -> None:
        try:
            self._stream = self._cluster.open_snapshot(self._leader)
            with closing(self._stream.chunks()) as chunks:
                self._fill(chunks)
            self._spool.complete()
        except AgentError as error:
            self._spool.fail(error)

    def _fill(self, chunks: Iterable[bytes]) -> None:
        end = time.monotonic() + self._deadline
        for chunk in chunks:
            self._spool.write(chunk)
            if time.monotonic() > end:
                raise Interrupted(
                    f"the snapshot took longer than {self._deadline:g} s",
                    hint="raise vault.snapshot_timeout, or find out what slows the server down",
                )


async def verify(spool: Spool, *, committed_index: int = 0) -> None:
    """Check a spool while it fills, and give the verdict; a failure is the spool's.

    Arguments:
        spool: Somebody else fills and completes it.
        committed_index: The leader's committed index just before it was asked for the snapshot;
            an older snapshot came from a standby that lags behind.
    """
    await in_thread(lambda: _verify(spool, committed_index))


async def stop_when_cancelled(download: Download) -> None:
    """Wake every thread that works on the spool when this task is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        download.stop()


def _verify(spool: Spool, committed_index: int) -> None:
    try:
        snapshot = _verified(spool)
        if snapshot.meta.index < committed_index:
            raise StaleSnapshot(
                f"the snapshot is stale: it ends at index {snapshot.meta.index}, the leader had"
                f" committed {committed_index}",
                hint="a standby answered in the leader's place; the agent tries again",
            )
        spool.accept(snapshot)
    except AgentError as error:
        spool.fail(error)


def _verified(spool: Spool) -> Snapshot:
    verifier = ArchiveVerifier()
    buffer = bytearray(_STEP)
    view = memoryview(buffer)
    position = 0
    announced = False
    while (length := spool.arrived(position)) > position:
        while position < length:
            count = spool.peek(position, buffer)
            verifier.feed(view[:count])
            position += count
            if not announced and verifier.meta is not None:
                spool.announce(verifier.meta)
                announced = True
    return verifier.finish()
