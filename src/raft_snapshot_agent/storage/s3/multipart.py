"""Multipart uploads that crashed runs left pending: S3 keeps, hides and charges their parts.

The object store library cannot list them, so these two requests are made by hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from raft_snapshot_agent.errors import (
    SnapshotNotFound,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.storage.http.http import Http, TlsOptions
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, Listing
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal
from raft_snapshot_agent.storage.s3.bucket import S3Bucket

_PARTS = frozenset({"Upload", "IsTruncated", "NextKeyMarker", "NextUploadIdMarker"})
_EMPTY = hashlib.sha256(b"").hexdigest()
_HINTS = Hints(
    rights="s3:ListBucketMultipartUploads and s3:AbortMultipartUpload",
    login="check access_key_id and secret_access_key, or the environment",
    address="check region and endpoint",
)


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    id: str
    initiated: datetime


class Uploads:
    """The pending multipart uploads of a bucket."""

    def __init__(self, bucket: S3Bucket, keys: AwsCredentials) -> None:
        self._bucket = bucket
        self._keys = keys
        trust = TlsOptions(bucket.ca_file, bucket.skip_verify)
        self._http = Http(bucket.timeout, trust, bucket.proxy)
        self._doing = f"cannot sweep uploads in {bucket.url}"

    def pending(self, prefix: str) -> Iterator[MultipartUpload]:
        """List those whose key begins with `prefix`, page by page.

        Source: `ListMultipartUploads` of the S3 API.
        """
        query = {"prefix": prefix, "uploads": "", "max-uploads": str(PAGE)}
        listing = Listing[MultipartUpload](self._doing, self._bucket.max_objects)
        while True:
            page = _parsed(self._ask("GET", "", query))
            found = [_upload(one) for one in page.get("Upload", ())]
            yield from listing.page((f"{one.key} {one.id}", one) for one in found)
            if _text(page, "IsTruncated") != "true":
                return
            query |= {
                "key-marker": _text(page, "NextKeyMarker"),
                "upload-id-marker": _text(page, "NextUploadIdMarker"),
            }

    def abort(self, upload: MultipartUpload) -> None:
        """Drop an upload and its parts; one that is gone already is no error."""
        with contextlib.suppress(SnapshotNotFound):
            self._ask("DELETE", upload.key, {"uploadId": upload.id})

    def _ask(self, method: str, key: str, query: dict[str, str]) -> bytes:
        path = f"/{quote(key)}" if key else ""
        url = f"{self._bucket.url}{path}?{_encoded(query)}"
        headers = sign(method, url, self._bucket.region, self._keys, datetime.now(UTC))
        answer = self._http.ask(self._doing, method, url, headers, most=PAGE_BYTES)
        if answer.status not in {200, 204}:
            raise refusal(self._doing, answer.status, answer.data.decode(errors="replace"), _HINTS)
        return answer.data


def sweep(uploads: Uploads, prefix: str, leftovers: Leftovers, now: datetime) -> int:
    """Abort what dead runs left directly under `prefix`, and what is older than a day.

    Returns:
        How many were aborted; none where the right to list them is missing.
    """
    try:
        pending = list(uploads.pending(prefix))
    except StorageDenied:
        return 0
    stale = [
        upload
        for upload in pending
        if upload.key.startswith(prefix)
        and leftovers.is_abandoned(upload.key.removeprefix(prefix), upload.initiated, now)
    ]
    for upload in stale:
        uploads.abort(upload)
    return len(stale)


def sign(method: str, url: str, region: str, keys: AwsCredentials, now: datetime) -> dict[str, str]:
    """Sign a request without a body; the URL is encoded, with its parameters in order.

    Returns:
        The headers to send.

    Source: AWS Signature Version 4.
    """
    parts = urlsplit(url)
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join((method, parts.path or "/", parts.query, lines, names, _EMPTY))
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.access_key_id}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _encoded(query: dict[str, str]) -> str:
    return urlencode(sorted(query.items()), quote_via=quote, safe="")


def _parsed(document: bytes) -> dict[str, list[ET.Element]]:
    page: dict[str, list[ET.Element]] = {}
    try:
        for part in parts(document, _PARTS):
            page.setdefault(part.tag.rpartition("}")[2], []).append(part)
    except ValueError as error:
        raise StorageError(f"the list of unfinished uploads cannot be read: {error}") from error
    return page


def _text(page: dict[str, list[ET.Element]], name: str) -> str:
    found = page.get(name)
    return (found[0].text or "") if found else ""


def _upload(element: ET.Element) -> MultipartUpload:
    try:
        initiated = datetime.fromisoformat(element.findtext("{*}Initiated", ""))
    except ValueError as error:
        raise StorageError("the list of unfinished uploads tells no times") from error
    return MultipartUpload(
        key=element.findtext("{*}Key", ""),
        id=element.findtext("{*}UploadId", ""),
        initiated=initiated if initiated.tzinfo else initiated.replace(tzinfo=UTC),
    )
