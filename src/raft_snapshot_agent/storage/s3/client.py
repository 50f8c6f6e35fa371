"""The requests of the S3 API, to one bucket: signed, bounded, repeated, never redirected.

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
"""Finds what a request is signed with, given what fails if that does."""

CHUNK = 1 << 20
_SUCCESS = frozenset({200, 204, 206})
_REGION = "x-amz-bucket-region"
_MOST_OF_A_REGION = 64


@dataclass(frozen=True, slots=True)
class S3Request:
    """One request, as often as it is made."""

    method: str
    key: str = ""
    """Of an object; empty: of the bucket."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """In lower case."""
    payload: Payload = NOTHING


@dataclass(frozen=True)
class S3Client:
    """One bucket; safe to share between threads."""

    bucket: S3Bucket
    keys: Keys
    http: Http
    hints: Hints
    options: ObjectOptions = field(default_factory=ObjectOptions)
    stop: Event = field(default_factory=Event)
    """Set to have it give up."""
    unsigned: bool = False
    """Whether parts go with a CRC-32 in place of a signed SHA-256."""

    def ask(
        self,
        doing: str,
        request: S3Request,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Make a request, and again where that may help.

        Arguments:
            doing: What fails if this does, such as `cannot list snapshots in s3://backups/`.
            request: What to ask.
            most: Bytes of the answer; by default what is no list has.
            streaming: Leave the answer's body to be read.
            also: Statuses that are the caller's to judge, beside success.

        Raises:
            StorageError: It was refused, or there was no answer.
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
        """Make a request that must not be made again."""
        url, payload = self._url(request), request.payload
        headers = sign(
            request.method,
            url,
            self.bucket.region,
            self.keys(doing),
            datetime.now(UTC),
            request.headers,
            payload.signed,
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
        """Translate an answer that is no success."""
        if 300 <= answer.status < 400:
            return self._redirected(doing, answer)
        return refusal(doing, answer.status, answer.data.decode(errors="replace"), self.hints)

    def put(self, doing: str, key: str, payload: Payload, *, plain: bool = False) -> None:
        """Store a small object in one request; `plain`: in no storage class of its own."""
        headers = {**self.options.of_new(plain=plain), **self.checksum(payload)}
        self.ask(doing, S3Request("PUT", key, headers=headers, payload=payload))

    def put_where(self, doing: str, key: str, payload: Payload, expected: str | None) -> str | None:
        """Store a small object where its ETag is the expected; nothing: where there is none.

        Returns:
            Its ETag now; nothing where something else was there.
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
        """Begin to read an object, at `start`; only with that ETag if one is given.

        Raises:
            SnapshotNotFound: There is none of that name.
        """
        headers = {**self.options.of_access}
        if start:
            headers["range"] = f"bytes={start}-"
        if version:
            headers["if-match"] = version
        return self.ask(doing, S3Request("GET", key, headers=headers), streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` bytes more; empty at the end."""
        return self.http.more(doing, self.bucket.endpoint, answer, size)

    def size(self, doing: str, key: str) -> int | None:
        """Return how large an object is, 0 where there is none; nothing without that right."""
        try:
            request = S3Request("HEAD", key, headers=self.options.of_access)
            answer = self.ask(doing, request, also={404})
        except StorageDenied:
            return None
        length = answer.headers.get("content-length", "0")
        return int(length) if answer.status != 404 else 0

    def delete(self, doing: str, key: str) -> None:
        """Remove an object; what is gone is no error."""
        with suppress(SnapshotNotFound):
            answer = self.ask(doing, S3Request("DELETE", key), also={404})
            if answer.status == 404 and _code_of(answer) not in {"", "NoSuchKey"}:
                raise self.refused(doing, answer)

    def _redirected(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Tell where the bucket is: nobody is followed with a signature or a key."""
        if region := one_line(answer.headers.get(_REGION, ""), _MOST_OF_A_REGION):
            why = f"{doing}: the bucket lies in another region; {_REGION}: {region}"
            return StorageError(why, hint=f"set region: {region}")
        text = answer.data.decode(errors="replace")
        if read_document(text).code:
            return refusal(doing, answer.status, text, self.hints)
        hint = f"likely the bucket lies in another region: {self.hints.address}"
        return StorageError(describe_redirect(doing, answer), hint=hint)

    def checksum(self, payload: Payload) -> Mapping[str, str]:
        """Return the headers that have the store keep a checksum, if it is to."""
        return payload.checksum if self.options.checksum or not payload.is_signed else {}

    def _url(self, request: S3Request) -> str:
        bucket = self.bucket
        url = f"{bucket.url}/{quote(request.key)}" if request.key else bucket.url
        if not request.key and not bucket.path:
            url += "/"
        query = urlencode(sorted(request.query.items()), quote_via=quote, safe="")
        return f"{url}?{query}" if query else url


def _code_of(answer: BaseHTTPResponse) -> str:
    return read_document(answer.data.decode(errors="replace")).code
