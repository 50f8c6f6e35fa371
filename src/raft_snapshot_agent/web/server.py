"""Serve page, API and probes; failures here do not affect snapshots."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import anyio
from uvicorn.config import Config
from uvicorn.server import ServerState

from raft_snapshot_agent.config.web import WebSettings
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.web.api import Api, TakeNow
from raft_snapshot_agent.web.gate import LARGEST_HEAD, Gate
from raft_snapshot_agent.web.listener import Listener, bind
from raft_snapshot_agent.web.protocol import BoundedProtocol

_ROTATION = 10.0
"""Seconds between two checks of the token and the certificate files."""
_SERIOUS = logging.CRITICAL + 1


class WebServer:
    """Serves the status to authorised clients."""

    def __init__(
        self,
        settings: WebSettings,
        log: Log,
        *,
        take_now: TakeNow | None = None,
        protocol: type[BoundedProtocol] = BoundedProtocol,
        most: int = 100,
    ) -> None:
        """Prepare without binding the port.

        Arguments:
            settings: Address, token and allowed hosts.
            log: Where failures are logged.
            take_now: Requests a snapshot, if the settings allow it.
            protocol: Limits each connection.
            most: Maximum connections.
        """
        self._settings = settings
        self._log = log
        self._take_now = take_now if settings.allow_snapshot else None
        self._protocol = protocol
        self._most = most
        self._token: str | None = None
        self._journal = Journal(log)
        self._context: ssl.SSLContext | None = None
        self._state = ServerState()
        self._listening: socket.socket | None = None
        self._address = settings.host
        """The host's address, once it listens."""
        self.port = settings.port
        """The port, once it listens."""

    def listen(self) -> None:
        """Bind the port; clients wait until the server runs.

        Raises:
            AgentError: The port is in use, or token or certificate cannot be read.
        """
        self._token = self._settings.read_token()
        if self._settings.tls is not None:
            self._context = self._settings.tls.open()
        self._listening = bind(self._settings.host, self._settings.port)
        self._address, self.port = self._listening.getsockname()[:2]

    async def run(self, board: StatusBoard) -> None:
        """Serve until it is cancelled; after a failure it can run again."""
        again = self._listening is None
        listening, self._listening = self._listening or bind(self._address, self.port), None
        with listening:
            if not again:
                self._tell_address()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow_files)
                await self._serve(board, listening)

    def _tell_address(self) -> None:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        scheme = "http" if self._context is None else "https"
        self._log.info(f"The page is at {scheme}://{host}:{self.port}/", fact=LogEvent.PAGE_SERVED)
        if not self._settings.is_private and self._token is None:
            self._log.warning(
                f"Anyone who reaches port {self.port} of this host can read the page and the API"
                " (set web.token, or let web.listen be 127.0.0.1:8299)",
                fact=LogEvent.PAGE_EXPOSED,
            )
        elif not self._settings.is_private and self._context is None:
            self._log.warning(
                f"The token of the page is sent without TLS to port {self.port}"
                " (set web.tls, or let web.listen be 127.0.0.1:8299)",
                fact=LogEvent.PAGE_EXPOSED,
            )

    async def _serve(self, board: StatusBoard, listening: socket.socket) -> None:
        logging.getLogger("uvicorn.error").setLevel(_SERIOUS)  # errors of clients, not of the agent
        app = Gate(
            Api(board, self._take_now).app(),
            hosts={*self._settings.hosts, self._settings.host.lower()},
            token=lambda: self._token,
            tell=lambda error: self._log.error(
                f"The page failed: {error}", fact=LogEvent.PAGE_FAILED
            ),
        )
        config = Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=LARGEST_HEAD,
        )
        make: Callable[[], asyncio.Protocol] = lambda: self._protocol(config, self._state)  # noqa: E731
        listener = Listener(make, context=lambda: self._context, most=self._most)
        try:
            await listener.serve(listening)
        finally:
            await self._close_all()

    async def _close_all(self) -> None:
        for connection in [*self._state.connections]:
            if connection.transport is not None:
                connection.transport.abort()
        tasks = [*self._state.tasks]
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_files(self) -> None:
        """Reload token and certificate when they change."""
        while True:
            await anyio.sleep(_ROTATION)
            said: list[str] = []
            try:
                self._token = await in_thread(self._settings.read_token, abandon=True)
                if self._settings.tls is not None:
                    # Into a new context: the two files are not replaced at the same moment, and a
                    # handshake could get the certificate of one pair and the key of another.
                    self._context = await in_thread(self._settings.tls.open, abandon=True)
            except Exception as error:  # noqa: BLE001 - such as too many threads: the page goes on
                said = [f"The page keeps its previous token and certificate: {as_failure(error)}"]
            self._journal.tell(LogEvent.PAGE_SECRETS_KEPT, said, datetime.now(UTC), together=True)
