"""The S3 API: URLs of objects, signatures of requests, and meaning of errors.

Source: the reference of the S3 API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.storage.http.answers import describe_redirect
from raft_snapshot_agent.storage.http.bucket_client import (
    BucketClient,
    BucketRequest,
    Buffer,
    Payload,
)
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal
from raft_snapshot_agent.storage.s3.bucket import S3Bucket
from raft_snapshot_agent.storage.s3.object_options import ObjectOptions
from raft_snapshot_agent.storage.s3.signing import EMPTY, sign

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Keys = Callable[[str], AwsCredentials]
"""Returns the credentials; the argument is the start of the error message."""

SHA256, CRC32 = "SHA256", "CRC32"
_ALGORITHM = "x-amz-sdk-checksum-algorithm"
_CRC32_SIZE = 4
_REGION = "x-amz-bucket-region"
_MOST_OF_A_REGION = 64
_ABSENT = frozenset({"NoSuchKey", ""})


@dataclass(frozen=True, slots=True)
class S3Store:
    """One bucket and its credentials."""

    bucket: S3Bucket
    keys: Keys
    hints: Hints
    options: ObjectOptions = field(default_factory=ObjectOptions)
    unsigned: bool = False
    """Whether parts are sent with a CRC-32 instead of a signed SHA-256."""

    @property
    def endpoint(self) -> str:
        return self.bucket.endpoint

    @property
    def timeout(self) -> timedelta:
        return self.bucket.timeout

    @property
    def max_objects(self) -> int:
        return self.bucket.max_objects

    @property
    def address_hint(self) -> str:
        return self.hints.address

    @property
    def reading(self) -> Mapping[str, str]:
        return self.options.of_access

    @property
    def removing(self) -> Mapping[str, str]:
        return {}

    def storing(self, key: str, content: Buffer, *, plain: bool) -> BucketRequest:
        payload = payload_of([content])
        headers = {**self.options.of_new(plain=plain), **self.checksum(payload)}
        return BucketRequest("PUT", key, headers=headers, payload=payload)

    def checksum(self, payload: Payload) -> Mapping[str, str]:
        """Return the headers that make the store keep a checksum, if configured.

        Without them, a bucket with Object Lock refuses an object.
        """
        if not self.options.checksum and is_signed(payload):
            return {}
        algorithm = SHA256 if is_signed(payload) else CRC32
        return {checksum_header(algorithm): payload.base64, _ALGORITHM: algorithm}

    def part(self, pieces: Iterable[Buffer]) -> Payload:
        """Return a part of an upload as a request body."""
        return Payload.of(pieces, Crc32()) if self.unsigned else payload_of(pieces)

    @property
    def part_algorithm(self) -> str:
        """Checksum algorithm of the parts; empty if none is sent."""
        return CRC32 if self.unsigned else SHA256 if self.options.checksum else ""

    def sign(self, doing: str, request: BucketRequest) -> tuple[str, dict[str, str]]:
        url, keys = self._url(request), self.keys(doing)
        signed = is_signed(request.payload)
        digest = (request.payload.digest.hex() or EMPTY) if signed else "UNSIGNED-PAYLOAD"
        now, region = datetime.now(UTC), self.bucket.region
        return url, sign(request.method, url, region, keys, now, request.headers, digest)

    def forget(self) -> bool:
        """Keep the credentials: the same would be fetched again."""
        return False

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        text = answer.data.decode(errors="replace")
        if not 300 <= answer.status < 400:
            return refusal(doing, answer.status, text, self.hints)
        if region := one_line(answer.headers.get(_REGION, ""), _MOST_OF_A_REGION):
            why = f"{doing}: the bucket lies in another region; {_REGION}: {region}"
            return StorageError(why, hint=f"set region: {region}")
        if read_document(text).code:
            return refusal(doing, answer.status, text, self.hints)
        hint = f"likely the bucket lies in another region: {self.hints.address}"
        return StorageError(describe_redirect(doing, answer), hint=hint)

    def is_absent(self, answer: BaseHTTPResponse) -> bool:
        return read_document(answer.data.decode(errors="replace")).code in _ABSENT

    def is_elsewhere(self, answer: BaseHTTPResponse) -> bool:
        return answer.status != 404 or self.is_absent(answer)

    def _url(self, request: BucketRequest) -> str:
        bucket = self.bucket
        url = f"{bucket.url}/{quote(request.key)}" if request.key else bucket.url
        if not request.key and not bucket.path:
            url += "/"
        query = urlencode(sorted(request.query.items()), quote_via=quote, safe="")
        return f"{url}?{query}" if query else url


S3Client = BucketClient[S3Store]


def payload_of(pieces: Iterable[Buffer]) -> Payload:
    """Return a request body, hashed once.

    The signature covers the SHA-256, so the store checks the received bytes. The same hash is the
    checksum that the store keeps if configured.
    """
    return Payload.of(pieces, hashlib.sha256())


class Crc32:
    """CRC-32 with the interface of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, piece: Buffer, /) -> None:
        from zlib_ng import zlib_ng

        self._value = zlib_ng.crc32(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(_CRC32_SIZE, "big")


def is_signed(payload: Payload) -> bool:
    """Return whether the signature covers the body."""
    return len(payload.digest) != _CRC32_SIZE


def checksum_header(algorithm: str) -> str:
    """Return the name of the checksum header in requests and responses."""
    return f"x-amz-checksum-{algorithm.lower()}"
