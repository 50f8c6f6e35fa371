"""Requests to one bucket by the S3 API: signed, limited, with retries, without redirects.

Source: the reference of the S3 API.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import SnapshotNotFound, StorageDenied, StorageError
from raft_snapshot_agent.secret import one_line
from raft_snapshot_agent.storage.http.answers import describe_redirect, require_etag
from raft_snapshot_agent.storage.http.patience import ask_patiently
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal
from raft_snapshot_agent.storage.s3.bucket import S3Bucket
from raft_snapshot_agent.storage.s3.object_options import ObjectOptions
from raft_snapshot_agent.storage.s3.payload import NOTHING, Payload
from raft_snapshot_agent.storage.s3.signing import sign

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

Keys = Callable[[str], AwsCredentials]
"""Returns the keys to sign with; its argument is the start of the error message."""

CHUNK = 1 << 20
_SUCCESS = frozenset({200, 204, 206})
_REGION = "x-amz-bucket-region"
_MOST_OF_A_REGION = 64


@dataclass(frozen=True, slots=True)
class S3Request:
    """One request, which may be sent several times."""

    method: str
    key: str = ""
    """Key of the object; empty for the bucket."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, with names in lower case."""
    payload: Payload = NOTHING


@dataclass(frozen=True)
class S3Client:
    """Client of one bucket; thread-safe."""

    bucket: S3Bucket
    keys: Keys
    http: Http
    hints: Hints
    options: ObjectOptions = field(default_factory=ObjectOptions)
    stop: Event = field(default_factory=Event)
    """Set to cancel."""

    def ask(
        self,
        doing: str,
        request: S3Request,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Make a request, with retries where they may help.

        Arguments:
            doing: Start of the error message, such as `cannot list snapshots in s3://backups/`.
            request: The request.
            most: Most bytes of the answer; the default suits anything but a list.
            streaming: Return before the body is read.
            also: Statuses that are returned instead of raised.

        Raises:
            StorageError: The request was refused or not answered.
        """
        once = partial(self.once, doing, request, most=most, streaming=streaming, also=also)
        return ask_patiently(once, self.bucket.timeout.total_seconds(), self.stop)

    def once(
        self,
        doing: str,
        request: S3Request,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Make a request without retries."""
        url, payload = self._url(request), request.payload
        headers = sign(
            request.method,
            url,
            self.bucket.region,
            self.keys(doing),
            datetime.now(UTC),
            request.headers,
            payload.digest.hex(),
        )
        body = None
        if payload.size or request.method in {"PUT", "POST"}:
            body = payload.pieces or b""
            headers["content-length"] = str(payload.size)
        answer = self.http.ask(
            doing, request.method, url, headers, body, streaming=streaming, most=most
        )
        if answer.status in _SUCCESS or answer.status in also:
            return answer
        raise self.refused(doing, answer)

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Return the error for a refusal."""
        if 300 <= answer.status < 400:
            return self._redirected(doing, answer)
        return refusal(doing, answer.status, answer.data.decode(errors="replace"), self.hints)

    def put(self, doing: str, key: str, payload: Payload, *, plain: bool = False) -> None:
        """Store a small object in one request; with `plain`, in the default storage class."""
        headers = {**self.options.of_new(plain=plain), **self.checksum(payload)}
        self.ask(doing, S3Request("PUT", key, headers=headers, payload=payload))

    def put_where(self, doing: str, key: str, payload: Payload, expected: str | None) -> str | None:
        """Store a small object if the present ETag is `expected` (`None`: if it is missing).

        Returns:
            The new ETag; `None` if the condition failed.
        """
        condition = {"if-none-match": "*"} if expected is None else {"if-match": expected}
        headers = {**self.options.of_new(plain=True), **self.checksum(payload), **condition}
        request = S3Request("PUT", key, headers=headers, payload=payload)
        answer = self.once(doing, request, also={404, 409, 412})
        if answer.status == 404 and _code_of(answer) not in {"", "NoSuchKey"}:
            raise self.refused(doing, answer)
        if answer.status not in _SUCCESS:
            return None
        return require_etag(answer, doing, self.hints.address)

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Start to read an object at `start`; only the version with a given ETag, if any.

        Raises:
            SnapshotNotFound: No object has that name.
        """
        headers = {**self.options.of_access}
        if start:
            headers["range"] = f"bytes={start}-"
        if version:
            headers["if-match"] = version
        return self.ask(doing, S3Request("GET", key, headers=headers), streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` further bytes; empty at the end."""
        return self.http.more(doing, self.bucket.endpoint, answer, size)

    def size(self, doing: str, key: str) -> int | None:
        """Return the size of an object, 0 if it is missing, `None` without permission."""
        try:
            request = S3Request("HEAD", key, headers=self.options.of_access)
            answer = self.ask(doing, request, also={404})
        except StorageDenied:
            return None
        length = answer.headers.get("content-length", "0")
        return int(length) if answer.status != 404 else 0

    def delete(self, doing: str, key: str) -> None:
        """Delete an object; a missing one is not an error."""
        with suppress(SnapshotNotFound):
            answer = self.ask(doing, S3Request("DELETE", key), also={404})
            if answer.status == 404 and _code_of(answer) not in {"", "NoSuchKey"}:
                raise self.refused(doing, answer)

    def _redirected(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Return the error for a redirect, which is never followed with a signature or key."""
        if region := one_line(answer.headers.get(_REGION, ""), _MOST_OF_A_REGION):
            why = f"{doing}: the bucket lies in another region; {_REGION}: {region}"
            return StorageError(why, hint=f"set region: {region}")
        text = answer.data.decode(errors="replace")
        if read_document(text).code:
            return refusal(doing, answer.status, text, self.hints)
        hint = f"likely the bucket lies in another region: {self.hints.address}"
        return StorageError(describe_redirect(doing, answer), hint=hint)

    def checksum(self, payload: Payload) -> Mapping[str, str]:
        """Return the headers that make the store keep a checksum, if configured or demanded."""
        return payload.checksum if self.options.checksum else {}

    def _url(self, request: S3Request) -> str:
        bucket = self.bucket
        url = f"{bucket.url}/{quote(request.key)}" if request.key else bucket.url
        if not request.key and not bucket.path:
            url += "/"
        query = urlencode(sorted(request.query.items()), quote_via=quote, safe="")
        return f"{url}?{query}" if query else url


def _code_of(answer: BaseHTTPResponse) -> str:
    return read_document(answer.data.decode(errors="replace")).code
