"""Scheduled scrubs: stored snapshots are read and verified again, between runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent.core.snapshots.scrub_note import ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.scrubbing import ScrubResult, read_scrub_note, scrub
from raft_snapshot_agent.errors import StorageDenied
from raft_snapshot_agent.flock import lock
from raft_snapshot_agent.observe.debug_log import CLUSTER
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.private_folder import private_folder
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.cluster_context import ClusterContext
from raft_snapshot_agent.service.scrub_plan import ScrubPlan
from raft_snapshot_agent.service.working import is_working
from raft_snapshot_agent.threads import in_thread

_LOOK_EVERY = timedelta(minutes=5)
"""Interval of the check whether a storage is due, and for which agent."""
_AGAIN = timedelta(minutes=15)
"""Time until a storage that failed is tried again."""
_PAUSE = 0.2
"""Seconds between two checks whether a run or another agent's scrub is still active."""


class ScrubLoop:
    """Scrubs the storages of one cluster when they are due, one after the other."""

    def __init__(
        self,
        service: ActiveCluster,
        plan: ScrubPlan,
        context: ClusterContext,
        turns: anyio.Lock,
    ) -> None:
        """Prepare it.

        Arguments:
            service: The cluster's configuration and objects.
            plan: What to scrub.
            context: What it shares with the cluster's loop, such as whether a run is active, which
                has priority.
            turns: Allows one scrub at a time in this agent.
        """
        self.under_way = ""
        self._service = service
        self._agent = service.agent
        self._plan = plan
        self._progress = context.progress
        self._journal = context.journal
        self._board = context.board
        self._turns = turns
        self._clock = context.clock
        self._due: dict[str, datetime] = {}
        self._notes: dict[str, ScrubNote] = {}

    async def run(self) -> None:
        """Run until it is cancelled."""
        CLUSTER.set(self._service.name)
        while True:
            for destination in self._plan.destinations:
                if self._is_due(destination) and await self._is_ours(destination):
                    await self._serve(destination)
            await anyio.sleep(min(self._plan.every, _LOOK_EVERY).total_seconds())

    def _is_due(self, destination: Destination) -> bool:
        now = self._clock()
        due = self._due.get(destination.name, now)
        # A wall clock that was set back must not stop scrubs for ever.
        return due <= now or due > now + self._plan.every

    async def _is_ours(self, destination: Destination) -> bool:
        """Return whether this agent scrubs a storage: a local folder, or any if it takes
        snapshots.
        """
        return destination.name in self._agent.private or await is_working(self._agent)

    async def _serve(self, destination: Destination) -> None:
        """Scrub a storage unless another agent did; log a failure and try again soon."""
        name, every = destination.name, self._plan.every
        try:
            looked_at = (await self._read_note(destination)).looked_at
            now = self._clock()
            if looked_at is not None and now - every < looked_at <= now + AHEAD:
                self._due[name] = looked_at + every
                return
            result = await self._take_turn(destination)
        except Exception as error:  # noqa: BLE001 - it must not end the snapshots
            self._due[name] = self._clock() + min(every, _AGAIN)
            said = [f"{name}: no scrub was possible: {as_failure(error)}"]
            self._journal.tell(LogEvent.SCRUB_TROUBLE, said, self._clock(), storage=name)
            return
        self._due[name] = self._clock() + every
        self._notes[name] = result.note
        self._board.change(self._service.name, lambda status: status.scrubbed(name, result.note))
        self._tell(name, result)

    async def _read_note(self, destination: Destination) -> ScrubNote:
        """Return the results of earlier scrubs known to this agent and those in the storage."""
        known = self._notes.get(destination.name, ScrubNote())
        try:
            return known.merged(await read_scrub_note(destination, self._clock()))
        except StorageDenied:
            return known

    async def _take_turn(self, destination: Destination) -> ScrubResult:
        before = self._notes.get(destination.name, ScrubNote())
        async with self._turns, self._alone():
            self.under_way = f"running scrub of {destination.name}"
            try:
                return await scrub(destination, before, self._plan.read, self._clock, self._wait)
            finally:
                self.under_way = ""

    async def _wait(self) -> None:
        """Wait until no run is active, as runs have priority."""
        while self._progress.is_going:  # noqa: ASYNC110 - it begins and ends elsewhere
            await anyio.sleep(_PAUSE)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no other agent on this host with the same spool runs a scrub."""
        begin = partial(_open_locked, self._plan.spool)
        try:
            # another process has it
            while (folder := await in_thread(begin, abandon=True, discard=_close)) is None:  # noqa: ASYNC110
                await anyio.sleep(_PAUSE)
        except OSError:
            yield  # the folder does not exist yet
            return
        try:
            yield
        finally:
            os.close(folder)

    def _tell(self, name: str, result: ScrubResult) -> None:
        now = self._clock()
        self._journal.tell(LogEvent.SCRUB_FAILED, result.rotten, now, "error", storage=name)
        self._journal.tell(LogEvent.SCRUB_TROUBLE, result.troubles, now, storage=name)
        if result.read and not result.rotten and not result.troubles:
            many = len(result.read)
            what = result.read[0] if many == 1 else f"{many} snapshots"
            told = f"Read back and whole: {what}"
            self._service.log.info(told, fact=LogEvent.SCRUB_PASSED, storage=name)


def _open_locked(spool: Path) -> int | None:
    """Return the open and locked folder; `None` while another process holds its lock."""
    folder = os.open(private_folder(spool), os.O_RDONLY | os.O_DIRECTORY)
    try:
        if lock(folder):
            return folder
    except OSError:
        os.close(folder)
        raise
    os.close(folder)
    return None


def _close(folder: int | None) -> None:
    if folder is not None:
        os.close(folder)
