"""Everything that runs while the daemon runs, in one task group."""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import anyio
from anyio import CancelScope

from raft_snapshot_agent.agent import Agent
from raft_snapshot_agent.core.report import Outcome, Report
from raft_snapshot_agent.core.schedule import Schedule, backoff
from raft_snapshot_agent.core.timetable import Timetable
from raft_snapshot_agent.intake import as_failure
from raft_snapshot_agent.logs import Log, log_report
from raft_snapshot_agent.threads import in_thread

_SLICE = 30.0
"""Longest sleep in seconds: the wall clock may step and the host may be suspended."""


class Daemon:
    """Takes snapshots on schedule until it is told to stop."""

    def __init__(
        self,
        agent: Agent,
        schedule: Schedule,
        log: Log,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._agent = agent
        self._schedule = schedule
        self._log = log
        self._clock = clock
        self._ran = anyio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then finish or drop what is under way, within seconds."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_on_signal, tasks.cancel_scope)
            tasks.start_soon(self._keep_token)
            tasks.start_soon(self._loop)
        await self._agent.leave()
        self._log.info("Stopped.")

    async def _stop_on_signal(self, scope: CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self._log.info(f"Received {signal.Signals(number).name}, stopping.")
                scope.cancel()
                return

    async def _keep_token(self) -> None:
        """Renew the token before it ends, also between two snapshots."""
        cluster = self._agent.cluster
        while True:
            with anyio.move_on_after(min(_SLICE, cluster.session.seconds_to_renewal() + 0.1)):
                await self._ran.wait()  # with a new token, perhaps
                self._ran = anyio.Event()
            try:
                await in_thread(cluster.keep_token, abandon=True)
            except Exception as error:  # noqa: BLE001 - the next run logs in again
                self._log.warning(f"The token is not renewed: {as_failure(error)}")
                await anyio.sleep(_SLICE)

    async def _loop(self) -> None:
        for storage, trouble in (await self._agent.sweep()).items():
            self._log.warning(f"{storage}: {trouble}")
        table = Timetable.begin(self._schedules(), await self._agent.taken(), self._clock())
        while True:
            await self._sleep_until(table.next_due)
            due = table.due(self._clock())
            await self._serve(due, table)
            table = table.served(due, self._clock())
            self._tell_missed(table, due)

    def _schedules(self) -> dict[str, Schedule]:
        return {place.name: place.schedule or self._schedule for place in self._agent.places}

    def _tell_missed(self, table: Timetable, served: Collection[str]) -> None:
        missed = max(table.lines[name].missed for name in served)
        if missed:
            what = "1 snapshot was" if missed == 1 else f"{missed} snapshots were"
            self._log.warning(f"{what} due meanwhile and will not be made up for.")

    async def _serve(self, due: Collection[str], table: Timetable) -> None:
        """Take the snapshot that is due; try again while it fails and the next is not due."""
        for failures in itertools.count(1):
            report = await self._run_once(due)
            self._ran.set()
            log_report(self._log, report)
            if report.outcome is not Outcome.FAILED:
                return
            now = self._clock()
            left = table.served(due, now).next_due - now
            wait = backoff(failures, left, random.random())  # noqa: S311 - jitter is no secret
            if wait >= left:
                return
            self._log.info(f"Trying again in {wait.total_seconds():.0f} s.")
            await self._sleep_until(now + wait)

    async def _run_once(self, names: Collection[str]) -> Report:
        started = self._clock()
        try:
            return await self._agent.run_once(names)
        except Exception as error:  # noqa: BLE001 - a defect must not end the daemon
            return Report("", started, self._clock(), error=as_failure(error))

    async def _sleep_until(self, due: datetime) -> None:
        while (left := due - self._clock()) > timedelta(0):  # noqa: ASYNC110 - time is no event
            await anyio.sleep(min(_SLICE, left.total_seconds()))
