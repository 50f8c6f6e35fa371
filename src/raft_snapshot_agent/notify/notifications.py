"""Runs all notifiers concurrently; neither they nor the cluster loops wait for one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import anyio

from raft_snapshot_agent.core.alarms.notices import NoticeMemory
from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.notify.courier import Attempt, Courier
from raft_snapshot_agent.notify.memory_file import MemoryFile
from raft_snapshot_agent.notify.settings import NotifierSettings
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.threads import in_thread

_LOOK_EVERY = 30.0
"""Seconds between evaluations without a change, because a snapshot gets too old without one."""
_GATHER = 2.0
"""Seconds in which changes are combined into one message."""


class Notifications:
    """Reads the status board and sends messages to all configured notifiers."""

    def __init__(
        self,
        wanted: Callable[[], Sequence[NotifierSettings]],
        log: Log,
        file: MemoryFile | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Store the collaborators; no I/O.

        Arguments:
            wanted: Returns the notifiers of the present configuration.
            log: Receives failures to send.
            file: Stores the notifiers' memories across restarts.
            clock: Returns the present time.
        """
        self._wanted = wanted
        self._journal = Journal(log)
        self._file = file
        self._clock = clock
        self._memories: dict[str, NoticeMemory] | None = None
        self._kept: Mapping[str, NoticeMemory] = {}
        self._keeping = anyio.Lock()

    async def run(self, board: StatusBoard) -> None:
        """Send messages until cancelled; failures are logged."""
        while True:
            wanted = tuple(self._wanted())
            couriers = await self._open(wanted)
            async with anyio.create_task_group() as tasks:
                for courier in couriers:
                    tasks.start_soon(self._serve, courier, board)
                version = board.version
                while tuple(self._wanted()) == wanted:
                    version = await board.wait_for_change(version)  # as a reload is one
                tasks.cancel_scope.cancel()

    async def tell_once(self, status: AgentStatus, seconds: float) -> None:
        """Send what is due within `seconds`; what fails is tried again at the next call."""
        couriers = await self._open(self._wanted())
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for courier in couriers:
                    tasks.start_soon(self._look, courier, status)
        for courier in couriers:
            self._remember(courier)
        await self._keep()

    async def _open(self, notifiers: Sequence[NotifierSettings]) -> list[Courier]:
        if self._memories is None:
            found = None if self._file is None else self._file.read
            self._memories = {} if found is None else await in_thread(found, abandon=True)
            self._kept = dict(self._memories)
        names = [one.name or one.type for one in notifiers]
        memories = {name: self._memories.get(name, NoticeMemory()) for name in names}
        self._memories = memories
        return [Courier(one, memories[name]) for name, one in zip(names, notifiers, strict=True)]

    async def _serve(self, courier: Courier, board: StatusBoard) -> None:
        board.update(partial(_count_from_zero, courier.name))
        while True:
            version = board.version
            for attempt in await self._look(courier, board.read()):
                board.update(partial(_count, courier.name, attempt))
            await self._keep()
            with anyio.move_on_after(_LOOK_EVERY):
                await board.wait_for_change(version)
                await anyio.sleep(_GATHER)

    async def _look(self, courier: Courier, status: AgentStatus) -> list[Attempt]:
        try:
            attempts = await courier.look(status)
        finally:
            self._remember(courier)
        if attempts:
            self._tell(courier.name, attempts[-1])
        return attempts

    def _remember(self, courier: Courier) -> None:
        if self._memories is not None:
            self._memories[courier.name] = courier.memory

    def _tell(self, name: str, attempt: Attempt) -> None:
        said = [f"Could not notify {name}, trying again: {attempt.error}"] if attempt.error else []
        now = self._clock()
        self._journal.tell(LogEvent.NOTIFICATION_FAILED, said, now, about=name)

    async def _keep(self) -> None:
        """Write changed memories to the file."""
        file, memories = self._file, dict(self._memories or {})
        if file is None:
            return
        async with self._keeping:
            if memories == self._kept:
                return
            said: list[str] = []
            try:
                await in_thread(lambda: file.merge(self._kept, memories), abandon=True)
                self._kept = memories
            except Exception as error:  # noqa: BLE001 - it must not cost a message
                said = [str(as_failure(error))]
            self._journal.tell(LogEvent.NOTIFICATIONS_NOT_KEPT, said, self._clock())


def _count_from_zero(name: str, status: AgentStatus) -> AgentStatus:
    """Create the counters at zero, because the increase of one that starts at 1 is not seen."""
    counts = {(name, outcome): 0 for outcome in ("ok", "failed")}
    return replace(status, notifications={**counts, **status.notifications})


def _count(name: str, attempt: Attempt, status: AgentStatus) -> AgentStatus:
    key = (name, "failed" if attempt.error else "ok")
    counts = {**status.notifications, key: status.notifications.get(key, 0) + 1}
    return replace(status, notifications=counts)
