"""Requests to one container of Azure's Blob service: signed, limited, without redirects.

Source: the reference of the Blob service's REST API.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.error_text import Said, read_document
from raft_snapshot_agent.errors import StorageDenied, StorageError
from raft_snapshot_agent.secret import one_line
from raft_snapshot_agent.storage.azure.account import AzureAccount
from raft_snapshot_agent.storage.azure.signing import AzureIdentity, Unsigned
from raft_snapshot_agent.storage.http.answers import describe_redirect, require_etag
from raft_snapshot_agent.storage.http.patience import ask_patiently
from raft_snapshot_agent.storage.limits import MOST_OBJECTS
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

CHUNK = 1 << 20
_VERSION = "2023-11-03"
_SUCCESS = frozenset({200, 201, 202, 206})
_CODE = "x-ms-error-code"
_MOST_OF_A_CODE = 64
_GONE = frozenset({"BlobNotFound", ""})
_ELSE_THERE = frozenset({"BlobAlreadyExists", "ConditionNotMet", "BlobNotFound", ""})


@dataclass(frozen=True, slots=True)
class AzureContainer:
    """Address of a container."""

    account: AzureAccount
    name: str
    timeout: timedelta
    max_objects: int = MOST_OBJECTS

    @property
    def url(self) -> str:
        return f"{self.account.endpoint}/{self.name}"

    def shown(self, key: str) -> str:
        """Return the address of a blob as an operator would write it."""
        return f"az://{self.name}/{key}"


@dataclass(frozen=True, slots=True)
class AzureRequest:
    """One request, which may be sent several times."""

    method: str
    key: str = ""
    """Key of the blob; empty for the container."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, with names in lower case."""
    body: Iterable[bytes | memoryview] = ()
    """Body, which can be sent more than once."""
    size: int = 0
    """Length of the body."""


@dataclass(frozen=True)
class AzureClient:
    """Client of one container; thread-safe."""

    container: AzureContainer
    identity: AzureIdentity
    http: Http
    hints: Hints
    access_tier: str | None = None
    stop: Event = field(default_factory=Event)
    """Set to cancel."""

    def ask(
        self,
        doing: str,
        request: AzureRequest,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Make a request, with retries where they may help.

        Arguments:
            doing: Start of the error message, such as `cannot list snapshots in az://backups/`.
            request: The request.
            most: Most bytes of the answer; the default suits anything but a list.
            streaming: Return before the body is read.
            also: Statuses that are returned instead of raised.

        Raises:
            StorageError: The request was refused or not answered.
        """
        once = partial(self.once, doing, request, most=most, streaming=streaming, also=also)
        return ask_patiently(once, self.container.timeout.total_seconds(), self.stop)

    def once(
        self,
        doing: str,
        request: AzureRequest,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Make a request without retries, except after an expired login."""
        send = partial(self._send, doing, request, most=most, streaming=streaming)
        answer = send()
        if answer.status == 401 and self.identity.forget():
            answer = send()
        if answer.status in _SUCCESS or answer.status in also:
            return answer
        raise self.refused(doing, answer)

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Return the error for a refusal or a redirect, which is not followed with credentials."""
        said = said_by(answer)
        if 300 <= answer.status < 400 and not said.code:
            return StorageError(describe_redirect(doing, answer), hint=self.hints.address)
        return refusal_of(doing, answer.status, said, self.hints)

    def put(self, doing: str, key: str, content: bytes | memoryview, *, plain: bool) -> None:
        """Store a small blob in one request; with `plain`, in the default tier."""
        self.ask(doing, self._of_blob(key, content, plain=plain))

    def put_where(self, doing: str, key: str, content: bytes, expected: str | None) -> str | None:
        """Store a small blob if the present ETag is `expected` (`None`: if there is no blob).

        Returns:
            The new ETag; `None` if the condition failed.
        """
        condition = {"if-none-match": "*"} if expected is None else {"if-match": expected}
        request = self._of_blob(key, content, plain=True, more=condition)
        answer = self.once(doing, request, also={404, 409, 412})
        if answer.status not in _SUCCESS:
            if said_by(answer).code not in _ELSE_THERE:
                raise self.refused(doing, answer)
            return None
        return require_etag(answer, doing, self.hints.address)

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Start to read a blob at `start`; only the version with a given ETag, if any.

        Raises:
            SnapshotNotFound: No blob has that name.
        """
        headers = {}
        if start:
            headers["range"] = f"bytes={start}-"
        if version:
            headers["if-match"] = version
        return self.ask(doing, AzureRequest("GET", key, headers=headers), streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` further bytes; empty at the end."""
        return self.http.more(doing, self.container.account.endpoint, answer, size)

    def size(self, doing: str, key: str) -> int | None:
        """Return the size of a blob, 0 if it is missing, `None` without permission."""
        try:
            answer = self.ask(doing, AzureRequest("HEAD", key), also={404})
        except StorageDenied:
            return None
        length = answer.headers.get("content-length", "0")
        return int(length) if answer.status != 404 else 0

    def delete(self, doing: str, key: str) -> None:
        """Delete a blob and its Azure snapshots; a missing one is not an error."""
        headers = {"x-ms-delete-snapshots": "include"}
        answer = self.ask(doing, AzureRequest("DELETE", key, headers=headers), also={404})
        if answer.status == 404 and said_by(answer).code not in _GONE:
            raise self.refused(doing, answer)

    def of_new(self, *, plain: bool) -> dict[str, str]:
        """Return the headers of a new blob; with `plain`, in the default tier.

        Files beside a snapshot are read by every command, so they use the default tier.
        """
        return {} if plain or not self.access_tier else {"x-ms-access-tier": self.access_tier}

    def _of_blob(
        self,
        key: str,
        content: bytes | memoryview,
        *,
        plain: bool,
        more: Mapping[str, str] | None = None,
    ) -> AzureRequest:
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "content-md5": checksum([content]),
            **self.of_new(plain=plain),
            **(more or {}),
        }
        return AzureRequest("PUT", key, headers=headers, body=[content], size=len(content))

    def _send(
        self, doing: str, request: AzureRequest, *, most: int | None, streaming: bool
    ) -> BaseHTTPResponse:
        container, headers = self.container, dict(request.headers)
        url = f"{container.url}/{quote(request.key)}" if request.key else container.url
        headers["x-ms-version"] = _VERSION
        headers["x-ms-date"] = format_datetime(datetime.now(UTC), usegmt=True)
        body = None
        if request.method == "PUT":
            body, headers["content-length"] = request.body or b"", str(request.size)
        unsigned = Unsigned(request.method, url, request.query, headers)
        headers |= self.identity.headers(doing, unsigned)
        asked = urlencode({**request.query, **self.identity.query}, quote_via=quote)
        address = f"{url}?{asked}" if asked else url
        return self.http.ask(
            doing, request.method, address, headers, body, streaming=streaming, most=most
        )


def said_by(answer: BaseHTTPResponse) -> Said:
    """Parse a refusal; if its answer has no body, the code is in a header."""
    said = read_document(answer.data.decode(errors="replace"))
    return said if said.code else Said(one_line(answer.headers.get(_CODE, ""), _MOST_OF_A_CODE))


def checksum(pieces: Iterable[bytes | memoryview]) -> str:
    """Return the checksum by which the store verifies the body of a request."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return b64encode(digest.digest()).decode()
