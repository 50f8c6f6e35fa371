"""Parses redirects, ETags and dates, which several stores have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.redaction import one_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_LONGEST = 200
"""Most characters of an address from a store."""


def require_etag(answer: BaseHTTPResponse, doing: str, hint: str) -> str:
    """Return the ETag of an answer.

    Raises:
        StorageError: The answer has none.
    """
    if not (etag := answer.headers.get("etag")):
        raise StorageError(f"{doing}: the store tells no ETag", hint=hint)
    return etag


def http_date(text: str | None) -> datetime | None:
    """Parse a date as headers have it, which is always in UTC; `None` if it is missing or invalid.

    Source: RFC 9110, section 5.6.7.
    """
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, ArithmeticError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def describe_redirect(doing: str, answer: BaseHTTPResponse) -> str:
    """Describe a redirect, which is never followed because credentials would be sent there."""
    to = urlsplit(answer.headers.get("location", ""))
    where = one_line(f"to {to.scheme}://{to.netloc}" if to.netloc else "to nowhere", _LONGEST)
    return f"{doing}: the store answered {answer.status}, a redirect {where}"
