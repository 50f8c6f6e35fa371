"""What answers of several stores share: redirects, and ETags, which later writes insist on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.secret import one_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_LONGEST = 200
"""Letters of an address that a store names."""


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
