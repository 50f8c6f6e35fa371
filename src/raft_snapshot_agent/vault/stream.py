"""The answer to a snapshot request."""

from __future__ import annotations

import time
import zlib
from collections.abc import Generator
from contextlib import suppress

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import Interrupted, ServerError
from raft_snapshot_agent.network.exchange import reading
from raft_snapshot_agent.observe.progress import touch
from raft_snapshot_agent.redaction import one_line

_STEP = 1 << 20
_LONGEST = 80
"""Most characters of a header in a message."""
_GZIP = b"\x1f\x8b"
_OF_PAGES = ("text/", "application/xhtml")


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
            ServerError: Something before the server answered, or changed the answer.
        """
        self._read = True
        try:
            # Twice the time-out, so that a stall is reported as one and not as a low rate.
            with reading(self._response, 2 * self._stall_timeout) as deadline:
                # Not with `stream`, which keeps each chunk in memory, however long it is.
                while chunk := self._response.read1(_STEP, decode_content=False):
                    if not self._received:
                        self._require_unchanged(chunk)
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

    def _require_unchanged(self, beginning: bytes) -> None:
        """Refuse a page and a second compression, by the first bytes and what the headers say.

        The agent asks for no compression, and never undoes any: the snapshot itself is a gzip file.
        """
        kind = one_line(self._response.headers.get("Content-Type", ""), _LONGEST)
        is_gzip = beginning.startswith(_GZIP)
        if not is_gzip and kind.lower().startswith(_OF_PAGES):
            raise ServerError(
                f"{self._address} answers the request for a snapshot with {kind}",
                hint="likely a proxy or its login page answers: check vault.address, and what is"
                " before the server",
            )
        if is_gzip and "Content-Encoding" in self._response.headers and _is_packed_twice(beginning):
            raise ServerError(
                f"the snapshot from {self._address} was compressed once more on the way",
                hint="switch compression off in the proxy before the server",
            )

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


def _is_packed_twice(beginning: bytes) -> bool:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(beginning, len(_GZIP)) == _GZIP
    except zlib.error:
        return False  # damaged, which the verification tells
