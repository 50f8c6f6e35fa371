"""Aborts multipart uploads of crashed runs, whose hidden parts S3 stores and charges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from raft_snapshot_agent.errors import StorageDenied, StorageError
from raft_snapshot_agent.storage.http.bucket_client import BucketRequest
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList
from raft_snapshot_agent.storage.http.xml_parts import local_name, parts
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.s3.store import S3Client

_PARTS = frozenset({"Upload", "IsTruncated", "NextKeyMarker", "NextUploadIdMarker"})
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

    def __init__(self, client: S3Client) -> None:
        self._client = replace(client, store=replace(client.store, hints=_HINTS))
        self._doing = f"cannot sweep uploads in {client.store.bucket.url}"

    def pending(self, prefix: str) -> Iterator[MultipartUpload]:
        """List the pending uploads whose key begins with `prefix`, page by page.

        Source: `ListMultipartUploads` of the S3 API.
        """
        query = {"prefix": prefix, "uploads": "", "max-uploads": str(PAGE)}
        listing = PagedList[MultipartUpload](self._doing, self._client.store.max_objects)
        while True:
            page = _parse(self._ask(query))
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
        request = BucketRequest("DELETE", upload.key, {"uploadId": upload.id})
        self._client.once(self._doing, request, also={404})

    def _ask(self, query: dict[str, str]) -> bytes:
        return self._client.once(
            self._doing, BucketRequest("GET", query=query), most=PAGE_BYTES
        ).data


def sweep(uploads: Uploads, prefix: str, leftovers: Leftovers, now: datetime) -> int:
    """Abort uploads directly under `prefix` that are of dead runs or older than a day.

    Returns:
        Number of aborted uploads; 0 without permission to list them.
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


def _parse(document: bytes) -> dict[str, list[ET.Element]]:
    page: dict[str, list[ET.Element]] = {}
    try:
        for part in parts(document, _PARTS):
            page.setdefault(local_name(part), []).append(part)
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
