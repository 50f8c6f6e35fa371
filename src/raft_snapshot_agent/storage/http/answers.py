"""What answers of several stores share: redirects, and ETags, which later writes insist on."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import SnapshotNotFound, StorageError
from raft_snapshot_agent.secret import one_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_LONGEST = 200
"""Letters of an address that a store names."""


class ReadingClient(Protocol):
    """Reads one object of a bucket."""

    def open(self, doing: str, key: str) -> BaseHTTPResponse:
        """Begin to read an object.

        Raises:
            SnapshotNotFound: There is none of that name.
        """

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int) -> bytes:
        """Read at most `size` bytes more."""


def read_tagged(client: ReadingClient, doing: str, key: str, most: int) -> tuple[bytes, str] | None:
    """Return the first bytes of an object, and its ETag; nothing where there is none.

    Arguments:
        client: Reads it.
        doing: What fails if this does.
        key: Of the object.
        most: Bytes.

    Raises:
        StorageError: It cannot be read, or the store tells no ETag.
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
        StorageError: It has none.
    """
    if not (etag := answer.headers.get("etag")):
        raise StorageError(f"{doing}: the store tells no ETag", hint=hint)
    return etag


def describe_redirect(doing: str, answer: BaseHTTPResponse) -> str:
    """Say where an answer leads; nobody follows it with a signature, a key or a token."""
    to = urlsplit(answer.headers.get("location", ""))
    where = one_line(f"to {to.scheme}://{to.netloc}" if to.netloc else "to nowhere", _LONGEST)
    return f"{doing}: the store answered {answer.status}, a redirect {where}"
