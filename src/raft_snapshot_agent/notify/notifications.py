"""Runs all notifiers concurrently; neither they nor the cluster loops wait for one another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
        await self._recall()
        self._drop_others(board)
        served: set[str] = set()
        async with anyio.create_task_group() as tasks:
            version = board.version
            while True:
                for name in self._list_wanted().keys() - served:
                    served.add(name)
                    tasks.start_soon(self._serve, name, served, board)
                version = await board.wait_for_change(version)  # as a reload is one

    async def tell_once(self, status: AgentStatus, seconds: float) -> None:
        """Send what is due within `seconds`; what fails is tried again at the next call."""
        await self._recall()
        couriers = [self._open(name, one) for name, one in self._list_wanted().items()]
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for courier in couriers:
                    tasks.start_soon(self._look, courier, status)
        for courier in couriers:
            self._remember(courier)
        await self._keep()

    def _list_wanted(self) -> dict[str, NotifierSettings]:
        """Return the notifiers of the present configuration, by name."""
        return {one.name or one.type: one for one in self._wanted()}

    async def _recall(self) -> None:
        """Read once what was sent before."""
        if self._memories is None:
            found = {} if self._file is None else await in_thread(self._file.read, abandon=True)
            self._kept = found
            self._memories = {name: found[name] for name in self._list_wanted() if name in found}

    def _open(self, name: str, settings: NotifierSettings) -> Courier:
        return Courier(settings, (self._memories or {}).get(name, NoticeMemory()))

    async def _serve(self, name: str, served: set[str], board: StatusBoard) -> None:
        """Send the messages of one notifier until it is no longer configured.

        A reload takes effect between two messages: one that is broken off would be sent twice.
        """
        board.update(partial(_count_from_zero, name))
        courier: Courier | None = None
        while (settings := self._list_wanted().get(name)) is not None:
            version = board.version
            if courier is None or courier.settings != settings:
                courier = self._open(name, settings)
            for attempt in await self._look(courier, board.read()):
                board.update(partial(_count, name, attempt))
            await self._keep()
            with anyio.move_on_after(_LOOK_EVERY):
                await board.wait_for_change(version)
                await anyio.sleep(_GATHER)
        served.remove(name)
        self._drop_others(board)
        await self._keep()

    def _drop_others(self, board: StatusBoard) -> None:
        """Forget notifiers that are no longer configured, in the log and the metrics as well."""
        names = self._list_wanted().keys()
        self._memories = {
            name: memory for name, memory in (self._memories or {}).items() if name in names
        }
        self._journal.drop(lambda key: key.about in {"", *names}, self._clock())
        board.update(partial(_count_only, names))

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


def _count_only(names: Collection[str], status: AgentStatus) -> AgentStatus:
    counts = {key: count for key, count in status.notifications.items() if key[0] in names}
    return replace(status, notifications=counts)


def _count(name: str, attempt: Attempt, status: AgentStatus) -> AgentStatus:
    key = (name, "failed" if attempt.error else "ok")
    counts = {**status.notifications, key: status.notifications.get(key, 0) + 1}
    return replace(status, notifications=counts)
