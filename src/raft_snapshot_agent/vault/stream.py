"""The answer to a snapshot request."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import Interrupted

_STEP = 1 << 20


class SnapshotStream:
    """The answer to a snapshot request, read at full speed."""

    def __init__(
        self, address: str, response: urllib3.BaseHTTPResponse, stall_timeout: float
    ) -> None:
        self._address = address
        self._response = response
        self._stall_timeout = stall_timeout
        self._received = 0

    def chunks(self) -> Generator[bytes]:
        """Read to the end and close the connection in every ending.

        A reader that stalls can freeze the leader, so whoever iterates must not wait for
        anything but the local disk.

        Raises:
            Interrupted: The connection was cut or went silent.
        """
        try:
            for chunk in self._response.stream(_STEP, decode_content=False):
                self._received += len(chunk)
                yield chunk
        except TimedOut as error:
            raise self._interrupted(f"went silent for {self._stall_timeout:g} s") from error
        except (HTTPError, OSError, ValueError) as error:
            raise self._interrupted("was cut off") from error
        finally:
            self.stop()

    def stop(self) -> None:
        """End the reading, from any thread."""
        with suppress(Exception):
            self._response.shutdown()
        self._response.close()

    def _interrupted(self, what: str) -> Interrupted:
        return Interrupted(
            f"the snapshot from {self._address} {what} after {self._received} bytes",
            hint="the agent tries again; look at the server's log if it recurs",
        )
