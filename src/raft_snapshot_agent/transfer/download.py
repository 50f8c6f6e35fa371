"""Download a snapshot into the spool at full speed, and verify it at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import anyio

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot_file.entries import CountedEntries, EntryReader
from raft_snapshot_agent.core.snapshot_file.mount_counts import MountCounter
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.errors import AgentError, Interrupted, StaleSnapshot, Stopped
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.phases import phase
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.stream import SnapshotStream

_STEP = 1 << 20


class Download:
    """The download of the leader's snapshot into a spool.

    It waits only for the local disk: a client that reads slowly can block the leader.
    """

    def __init__(self, cluster: Cluster, leader: Leader, spool: Spool, deadline: float) -> None:
        """Prepare a download.

        Arguments:
            cluster: Opens the stream and follows redirects.
            leader: The node to ask.
            spool: Where the snapshot is written; it fails when the download fails.
            deadline: Maximum seconds of the whole download.
        """
        self._cluster = cluster
        self._leader = leader
        self._spool = spool
        self._deadline = deadline
        self._stream: SnapshotStream | None = None

    async def run(self) -> None:
        """Download. A failure makes the spool fail. Raises nothing."""
        with anyio.move_on_after(self._deadline) as limit:
            # The thread may be left waiting for a server: a failed spool accepts nothing more.
            with phase("download"):
                await in_thread(self._run, abandon=True)
        if limit.cancelled_caught:
            self._fail(
                Interrupted(
                    f"the snapshot took longer than {self._deadline:g} s",
                    hint="raise vault.snapshot_timeout, or check why the server is slow",
                )
            )

    def stop(self) -> None:
        """End the download, from any thread."""
        self._fail(Stopped("the agent was stopped; the snapshot is discarded"))

    def _fail(self, error: AgentError) -> None:
        self._spool.fail(error)
        if self._stream is not None:
            self._stream.stop()

    def _run(self) -> None:
        with _fail_spool(self._spool):
            self._stream = self._cluster.open_snapshot(self._leader)
            with closing(self._stream.chunks()) as chunks:
                for chunk in chunks:
                    self._spool.write(chunk)
            self._spool.complete()


async def verify(
    spool: Spool,
    *,
    applied_index: int = 0,
    digest: bool = True,
    entries: EntryReader | None = None,
    counter: MountCounter | None = None,
) -> None:
    """Verify a spool while it is written; a failure makes the spool fail.

    Arguments:
        spool: Written and completed by another thread.
        applied_index: The index that the leader had applied just before the request. An older
            snapshot came from a standby that lags behind.
        digest: Whether to compute the SHA-256 of the archive.
        entries: Reads the entries of the state, too.
        counter: Counts them by mount instead.
    """
    if counter is not None:
        entries = CountedEntries(counter)
    verifier = ArchiveVerifier(digest=digest, entries=entries)
    with phase("verify"):
        await in_thread(lambda: _verify(spool, applied_index, verifier, counter))


async def stop_when_cancelled(download: Download) -> None:
    """Wake all threads that use the spool when this task is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        download.stop()


@contextmanager
def _fail_spool(spool: Spool) -> Iterator[None]:
    """Make the spool fail on any error, or its readers would wait for ever."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a defect must not freeze the agent
        spool.fail(as_failure(error))


def _verify(
    spool: Spool, applied_index: int, verifier: ArchiveVerifier, counter: MountCounter | None
) -> None:
    with _fail_spool(spool):
        snapshot = _feed_verifier(spool, verifier)
        if snapshot.meta.index < applied_index:
            raise StaleSnapshot(
                f"the snapshot is stale: it ends at index {snapshot.meta.index}, the leader had"
                f" applied {applied_index}",
                hint="probably a standby answered instead of the leader; the agent tries again",
            )
        counts = None if counter is None else counter.counts
        spool.accept(replace(snapshot, counts=counts.to_text() if counts else ""))


def _feed_verifier(spool: Spool, verifier: ArchiveVerifier) -> Snapshot:
    buffer = bytearray(_STEP)
    view = memoryview(buffer)
    position = 0
    announced = False
    while (length := spool.wait_for_bytes(position)) > position:
        while position < length:
            count = spool.peek(position, buffer)
            verifier.feed(view[:count])
            position += count
            if not announced and verifier.meta is not None:
                spool.announce(verifier.meta)
                announced = True
    return verifier.finish()
