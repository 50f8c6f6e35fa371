"""Sends the messages of one notifier, with retries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import anyio

from raft_snapshot_agent.core.alarms.notices import (
    Notice,
    NoticeMemory,
    after_delivery,
    due_notices,
    observe,
)
from raft_snapshot_agent.core.schedules.schedule import backoff
from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.errors import NotificationError
from raft_snapshot_agent.notify.settings import NotifierSettings
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.threads import beside_loop, in_thread

_GRACE = 5.0
"""Seconds allowed for a message beyond its own time-out."""
_LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of one attempt to send a message."""

    error: str = ""
    """Why it failed; empty if it succeeded."""
    said: str = ""
    """Short form of the receiver's answer."""


class Courier:
    """Sends messages to one receiver, one after the other."""

    def __init__(
        self,
        settings: NotifierSettings,
        memory: NoticeMemory,
        monotonic: Callable[[], float] = anyio.current_time,
    ) -> None:
        """Store the settings; no I/O.

        Arguments:
            settings: Settings of the notifier.
            memory: What was sent before.
            monotonic: Seconds of a monotonic clock.
        """
        self.name = settings.name or settings.type
        self.memory = memory
        self.settings = settings
        self._wishes = settings.wishes()
        self._monotonic = monotonic
        self._failures = 0
        self._again_at = 0.0
        self._busy = False

    async def look(self, status: AgentStatus) -> list[Attempt]:
        """Evaluate the status and send the messages that are due; stop at the first failure."""
        rows = sum(1 + len(one.storages) for one in status.clusters)
        memory = self.memory
        self.memory = await beside_loop(lambda: observe(memory, status, self._wishes), rows)
        attempts: list[Attempt] = []
        if self._monotonic() < self._again_at:
            return attempts
        for notice in due_notices(self.memory, self._wishes, status.at):
            attempts.append(await self.send(notice))
            if attempts[-1].error:
                self._put_off()
                break
            self._failures = 0
            self.memory = after_delivery(self.memory, notice, status.at)
        return attempts

    async def send(self, notice: Notice) -> Attempt:
        """Send one message; return a failure in the result instead of raising it."""
        seconds = self.settings.timeout.total_seconds()
        try:
            # Opened for each message: secrets may have been renewed, a library installed.
            with anyio.fail_after(seconds + _GRACE):
                return Attempt(said=await in_thread(lambda: self._deliver(notice), abandon=True))
        except TimeoutError:
            return Attempt(f"no answer within {seconds:g} s (or raise timeout)")
        except Exception as error:  # noqa: BLE001 - a defect here must not end anything else
            return Attempt(str(as_failure(error)))

    def _deliver(self, notice: Notice) -> str:
        # A library that cannot be interrupted continues in its thread; a second is never started.
        if self._busy:
            raise NotificationError(
                "the previous message is still being sent", hint="it may be temporary"
            )
        self._busy = True
        try:
            return self.settings.open().send(notice)
        finally:
            self._busy = False

    def _put_off(self) -> None:
        self._failures += 1
        wait = backoff(self._failures, _LONGEST_PAUSE, random.random())  # noqa: S311 - jitter
        self._again_at = self._monotonic() + wait.total_seconds()
