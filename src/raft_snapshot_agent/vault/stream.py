"""The answer to a snapshot request."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import Interrupted
from raft_snapshot_agent.network.exchange import reading
from raft_snapshot_agent.observe.trace import touch

_STEP = 1 << 20


class SnapshotStream:
    """The answer to a snapshot request, read at full speed."""

    def __init__(
        self,
        address: str,
        response: urllib3.BaseHTTPResponse,
        stall_timeout: float,
        min_rate: int,
    ) -> None:
        """Take over an answer whose headers have been read.

        Arguments:
            address: Address of the server.
            response: Answer with unread body.
            stall_timeout: Most seconds between two reads.
            min_rate: Least bytes per second, on average.
        """
        self._min_rate = min_rate
        self._address = address
        self._response = response
        self._stall_timeout = stall_timeout
        self._received = 0
        self._read = False

    def chunks(self) -> Generator[bytes]:
        """Read to the end; always close the connection.

        A stalled reader can block the leader, so the caller must not wait for anything but the
        local disk.

        Raises:
            Interrupted: The connection broke, stalled or was too slow.
        """
        self._read = True
        try:
            # Twice the time-out, so that a stall is reported as one and not as a low rate.
            with reading(self._response, 2 * self._stall_timeout) as deadline:
                # Not with `stream`, which keeps each chunk in memory, however long it is.
                while chunk := self._response.read1(_STEP, decode_content=False):
                    self._received += len(chunk)
                    touch()
                    began = time.monotonic()
                    yield chunk
                    deadline.grant(time.monotonic() - began + len(chunk) / self._min_rate)
        except ReadTimeoutError as error:
            raise self._interrupted_error(f"went silent for {self._stall_timeout:g} s") from error
        except TimedOut as error:
            raise self._interrupted_error(
                f"came slower than vault.min_rate, {self._min_rate} bytes a second,"
            ) from error
        except (HTTPError, OSError, ValueError) as error:
            raise self._interrupted_error("was cut off") from error
        finally:
            self._read = False
            self.stop()

    def stop(self) -> None:
        """Stop reading; callable from any thread."""
        with suppress(Exception):
            self._response.shutdown()
        if not self._read:  # else the reading thread closes it, as the library requires
            self._response.close()

    def _interrupted_error(self, what: str) -> Interrupted:
        return Interrupted(
            f"the snapshot from {self._address} {what} after {self._received} bytes",
            hint="the agent tries again; check the server's log if it recurs",
        )
