"""Serves the status on a local socket: one JSON document a connection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import SocketStream

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
"""Seconds that a reader gets to take the document."""
_AT_ONCE = 8
"""Readers at once; more wait for their turn."""


class StatusSocket:
    """Companion of the loops: serves `status` of the same host."""

    def __init__(self, source: Path | None, environ: Mapping[str, str], log: Log) -> None:
        """Prepare; nothing is opened.

        Arguments:
            source: The configuration file, by which `status` finds its daemon.
            environ: Names the runtime folder.
            log: Where it is told that there is none.
        """
        self._source = source
        self._environ = environ
        self._log = log

    async def run(self, board: StatusBoard) -> None:
        """Serve until it is cancelled. Without a socket the daemon goes on."""
        try:
            path = make_runtime_folder(self._environ) / socket_name(self._source)
            path.unlink(missing_ok=True)  # what a killed daemon left
            remove_dead_sockets(path.parent)
            listener = await anyio.create_unix_listener(path, mode=0o600)
        except OSError as error:
            what = f"No socket for `status`, which asks the storages instead: {error}"
            self._log.info(what, fact=LogEvent.STATUS_SOCKET_MISSING)
            return
        own = path.lstat().st_ino
        limit = anyio.CapacityLimiter(_AT_ONCE)

        renderer = Renderer(board)

        async def serve(stream: SocketStream) -> None:
            async with stream, limit:
                # Many clusters take half a second to describe, which no loop has to wait for.
                text = await renderer.render("status", lambda status: write_json(document(status)))
                # Who hangs up, or never reads, is no matter of ours.
                with anyio.move_on_after(_WITHIN), suppress(anyio.BrokenResourceError):
                    await stream.send(text)

        try:
            async with listener:
                await listener.serve(serve)
        finally:
            with suppress(OSError):
                if path.lstat().st_ino == own:  # not that of a daemon started meanwhile
                    os.unlink(path)  # noqa: PTH108 - one call that waits for nobody
