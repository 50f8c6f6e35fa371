"""One connection with time limits for slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_End = Callable[[], None]


class BoundedProtocol(H11Protocol):
    """Closes connections of clients that send or read too slowly."""

    request_within = 10.0
    """Maximum seconds for a whole request to arrive."""
    read_within = 30.0
    """Maximum seconds for an answer to be read."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._request = _Timer(self.loop, self.request_within, self._cut)
        self._answer = _Timer(self.loop, self.read_within, self._cut)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        # pause_writing is called for every unread byte. asyncio pauses a plain connection above the
        # limit, but one with TLS at the limit: with 0 it would wait for an empty buffer to empty.
        has_tls = self.transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=int(has_tls), low=0)
        self._request.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._request.stop()
        self._answer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive data; a request's time runs from its first byte to its last."""
        if not self._is_answering:
            self._request.start()
        super().data_received(data)
        if self._is_complete:
            self._request.stop()

    def on_response_complete(self) -> None:
        """Wait for the next request; data that has already arrived has its own time limit."""
        super().on_response_complete()
        self._request.stop()
        if self.conn.trailing_data[0] or (self._is_answering and self.cycle.more_body):
            self._request.start()

    def pause_writing(self) -> None:
        """Start the time limit for an unread answer."""
        self.flow.pause_writing()
        self._answer.start()

    def resume_writing(self) -> None:
        """Stop the time limit, as the answer was read."""
        self._answer.stop()
        self.flow.resume_writing()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_complete(self) -> bool:
        return self._is_answering and not self.cycle.more_body

    def _cut(self) -> None:
        self.transport.abort()


class _Timer:
    """A timer that can be started and stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, end: _End) -> None:
        self._loop = loop
        self._seconds = seconds
        self._end = end
        self._running: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer unless it is running."""
        if self._running is None:
            self._running = self._loop.call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Stop the timer."""
        if self._running is not None:
            self._running.cancel()
        self._running = None
