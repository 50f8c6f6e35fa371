"""Parses redirects and ETags, which several stores have in common."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.secret import one_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_LONGEST = 200
"""Most characters of an address from a store."""


class ReadingClient(Protocol):
    """Reads one object of a bucket."""

    def open(self, doing: str, key: str) -> BaseHTTPResponse:
        """Start to read an object.

        Raises:
            SnapshotNotFound: No object has that name.
        """

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int) -> bytes:
        """Read at most `size` further bytes."""


def read_tagged(client: ReadingClient, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
    """Return the first bytes of an object and its ETag; `None` if it is missing.

    Arguments:
        client: Client of the store.
        doing: Start of the error message.
        key: Key of the object.
        most: Most bytes to read.

    Raises:
        StorageError: It cannot be read, or the answer has no ETag.
    """
    try:
        answer = client.open(doing, key)
    except SnapshotNotFound:
        return None
    with closing(answer):
        content = client.read_on(doing, answer, most)
    return content, require_etag(answer, doing, "check endpoint")


def require_etag(answer: BaseHTTPResponse, doing: str, hint: str) -> str:
    """Return the ETag of an answer.

    Raises:
        StorageError: The answer has none.
    """
    if not (etag := answer.headers.get("etag")):
        raise StorageError(f"{doing}: the store tells no ETag", hint=hint)
    return etag


def describe_redirect(doing: str, answer: BaseHTTPResponse) -> str:
    """Describe a redirect, which is never followed because credentials would be sent there."""
    to = urlsplit(answer.headers.get("location", ""))
    where = one_line(f"to {to.scheme}://{to.netloc}" if to.netloc else "to nowhere", _LONGEST)
    return f"{doing}: the store answered {answer.status}, a redirect {where}"
