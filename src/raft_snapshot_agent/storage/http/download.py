"""Reads an object to its end, over several connections if one breaks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from raft_snapshot_agent.errors import StorageUnavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_WAITS = (0.1, 1.0, 2.0)
"""Seconds before the next connection after one that broke."""


class ReadingClient(Protocol):
    """Reads the objects of one bucket, from any byte on."""

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Begin to read an object, at `start`; only that version of it if one is given.

        Raises:
            SnapshotNotFound: There is none of that name.
        """

    def read_on(self, doing: str, answer: BaseHTTPResponse) -> bytes:
        """Read the next piece; empty at the end."""


class ObjectDownload:
    """One version of an object, as it was when opened."""

    def __init__(self, client: ReadingClient, doing: str, key: str, version: str) -> None:
        """Begin to read.

        Arguments:
            client: Reads it.
            doing: What fails if this does.
            key: Its.
            version: The header that tells which of several this is.

        Raises:
            SnapshotNotFound: No object has that name.
        """
        self._client = client
        self._key = key
        self._doing = doing
        self._position = 0
        self._answer: BaseHTTPResponse | None = client.open(doing, key)
        self._version = self._answer.headers.get(version, "")

    @property
    def is_whole(self) -> bool:
        """Whether all bytes were read; false if the store does not tell how many there are."""
        return getattr(self._answer, "length_remaining", None) == 0

    def read_on(self) -> bytes:
        """Read the next piece; empty at the end."""
        for wait in _WAITS:
            try:
                return self._piece()
            except StorageUnavailable as error:
                time.sleep(max(wait, error.pause))
        return self._piece()

    def close(self) -> None:
        """Release the connection."""
        if self._answer:
            self._answer.close()

    def _piece(self) -> bytes:
        answer = self._answer = self._answer or self._resume()
        try:
            piece = self._client.read_on(self._doing, answer)
        except StorageUnavailable:
            # Nothing is read from it again: an answer that is closed seems to be at its end.
            self._answer = None
            answer.close()
            raise
        self._position += len(piece)
        return piece

    def _resume(self) -> BaseHTTPResponse:
        answer = self._client.open(self._doing, self._key, self._position, self._version)
        if self._position and answer.status != 206:
            answer.close()
            raise StorageUnavailable(f"{self._doing}: the store does not resume the download")
        return answer
