"""One client for the operations of a few seconds, which share its connections and its login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from raft_snapshot_agent.errors import StorageDenied
from raft_snapshot_agent.threads import in_thread

C = TypeVar("C")
T = TypeVar("T")

_SECONDS = 5.0
"""How long a client is used: enough to read many manifests, too short for credentials to expire."""


class RecentClient(Generic[C]):
    """Keeps a client for some seconds, or until an error; then its connections are closed."""

    def __init__(self, connect: Callable[[], C], seconds: float = _SECONDS) -> None:
        """Store the arguments; no I/O.

        Arguments:
            connect: Returns a client with the present credentials.
            seconds: How long each client is used.
        """
        self._connect = connect
        self._seconds = seconds
        self._client: C | None = None

    async def use(self, work: Callable[[C], T], *, anew: bool = False) -> T:
        """Run `work` in a thread; once more with a new client if a used one was refused.

        The credentials may have changed since that one was made.

        Arguments:
            work: Calls the client.
            anew: Whether to connect with the present credentials in any case.
        """
        used = None if anew else self._client
        if used is None:
            return await in_thread(partial(work, await self._renewed()), abandon=True)
        try:
            return await in_thread(partial(work, used), abandon=True)
        except StorageDenied:
            if (renewed := await self._renewed()) == used:  # it renews its login itself
                raise
        return await in_thread(partial(work, renewed), abandon=True)

    def drop(self) -> None:
        """Let the client go; its connections close when the last operation with it ends."""
        self._client = None

    async def _renewed(self) -> C:
        client = self._client = await in_thread(self._connect, abandon=True)
        asyncio.get_running_loop().call_later(self._seconds, self._drop_old, client)
        return client

    def _drop_old(self, client: C) -> None:
        if self._client is client:
            self.drop()
