"""Serve the status on a local socket: one JSON document per connection."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import SocketStream

from raft_snapshot_agent.host_limits import find_limit
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.json_text import write_json
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.renderer import Renderer
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.service.runtime_folder import (
    make_runtime_folder,
    remove_dead_sockets,
    socket_name,
)

_WITHIN = 5.0
"""Maximum seconds to send the document to a reader."""
_LOOK_EVERY = 30.0
"""Seconds between two looks at whether the socket is still there."""
_AT_ONCE = 8
"""Maximum concurrent readers; more must wait."""


class StatusSocket:
    """A companion of the loops that answers `status` on the same host."""

    def __init__(self, source: Path | None, environ: Mapping[str, str], log: Log) -> None:
        """Prepare without opening the socket.

        Arguments:
            source: The configuration file, from which `status` derives the socket's name.
            environ: The environment, which may name the runtime folder.
            log: Where a failure to open the socket is logged.
        """
        self._source = source
        self._environ = environ
        self._log = log

    async def run(self, board: StatusBoard) -> None:
        """Serve until it is cancelled; the daemon also runs without the socket."""
        renderer = Renderer(board)
        limit = anyio.CapacityLimiter(_AT_ONCE)

        async def answer(stream: SocketStream) -> None:
            async with stream, limit:
                # In a thread: with many clusters this takes half a second.
                text = await renderer.render("status", lambda status: write_json(document(status)))
                # A reader that disconnects or does not read is ignored.
                with anyio.move_on_after(_WITHIN), suppress(anyio.BrokenResourceError):
                    await stream.send(text)

        told = ""
        while True:
            try:
                await self._serve(answer)
                told = ""
            except OSError as error:
                if find_limit(error):
                    raise  # it may be temporary: it is tried again
                if str(error) != told:
                    what = "Cannot open the socket for `status`, which reads the storages instead"
                    self._log.info(f"{what}: {error}", fact=LogEvent.STATUS_SOCKET_MISSING)
                told = str(error)
                await anyio.sleep(_LOOK_EVERY)

    async def _serve(self, answer: Callable[[SocketStream], Awaitable[None]]) -> None:
        """Open the socket and serve it until it is removed.

        Programs that tidy up remove it, and so does the end of a user's last session.

        Raises:
            OSError: It cannot be opened.
        """
        path = make_runtime_folder(self._environ) / socket_name(self._source)
        path.unlink(missing_ok=True)  # left by a killed daemon
        remove_dead_sockets(path.parent)
        listener = await anyio.create_unix_listener(path, mode=0o600)
        own = 0
        try:
            async with listener:
                own = path.lstat().st_ino
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(listener.serve, answer)
                    while _is_there(path):  # noqa: ASYNC110 - somebody else removes it
                        await anyio.sleep(_LOOK_EVERY)
                    tasks.cancel_scope.cancel()
        finally:
            with suppress(OSError):
                # but not the socket of a daemon that was started since
                if path.lstat().st_ino == own:
                    os.unlink(path)  # noqa: PTH108 - one call that waits for nobody


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
