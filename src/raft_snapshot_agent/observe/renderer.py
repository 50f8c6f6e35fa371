"""Renders pages and documents from the status, one at a time, in a thread, with a cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import anyio

from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.threads import in_thread

_T = TypeVar("_T")
_REMEMBERED = 32
"""Most documents kept in the cache."""


class Renderer:
    """Renders the status once per second, so that a thousand readers cost as much as one."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._turn = anyio.Lock()
        self._moment: tuple[int, int] = (-1, -1)
        self._made: dict[object, Any] = {}

    async def render(self, key: object, work: Callable[[AgentStatus], _T]) -> _T:
        """Return the result of `work` for the present status.

        Arguments:
            key: Identifies the document; the same key in the same second gets the same result.
            work: Pure function; runs in a thread.
        """
        async with self._turn:
            status = self._board.read()
            moment = (self._board.version, int(status.at.timestamp()))
            if moment != self._moment or len(self._made) >= _REMEMBERED:
                self._moment, self._made = moment, {}
            if key not in self._made:
                self._made[key] = await in_thread(partial(work, status))
            return cast("_T", self._made[key])
