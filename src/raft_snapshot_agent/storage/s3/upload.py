"""Uploads a snapshot as an object that is visible only when it is complete.

A small snapshot is sent in one request. A larger one is sent while it grows, in several concurrent
parts; the last part waits for verification.

Source: "Uploading and copying objects using multipart upload" of the S3 guide.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Event
from xml.sax.saxutils import escape

from raft_snapshot_agent.core.snapshots.naming import snapshot_name
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import StorageError, StorageFull, StorageUnavailable
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.error_codes import LATER
from raft_snapshot_agent.storage.http.body import StoppableSource, cleanup
from raft_snapshot_agent.storage.http.bucket_client import BucketRequest
from raft_snapshot_agent.storage.http.parts import (
    read_if_small,
    require_size,
    send_parts,
    steps_of,
)
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.s3.demands import Unproved
from raft_snapshot_agent.storage.s3.store import CRC32, S3Client, checksum_header, payload_of

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def upload(client: S3Client, doing: str, key: str, source: UploadSource, stop: Event) -> int:
    """Store a source while it grows; set `stop` to cancel.

    Returns:
        Bytes stored, as reported by the store if that is permitted.
    """
    client, source = replace(client, stop=stop), StoppableSource(source, stop)
    name = key.rpartition("/")[2]
    plain = snapshot_name(name) != name
    if (whole := read_if_small(source)) is not None:
        sent = len(whole)
        client.put(doing, key, whole, plain=plain)
    else:
        sent = _send_in_parts(client, doing, key, source, plain=plain)
    # The bytes were checked already, against the digest or the checksum of every request.
    return require_size(client, key, client.store.bucket.shown(key), sent)


def _send_in_parts(
    client: S3Client, doing: str, key: str, source: UploadSource, *, plain: bool
) -> int:
    """Send a source in parts.

    Raises:
        Unproved: The store refused unsigned parts; signed ones may be accepted.
    """
    try:
        return _Session.begin(client, doing, key, plain=plain).run(source)
    except (StorageUnavailable, StorageFull):
        raise
    except StorageError as error:
        if not client.store.unsigned:
            raise
        raise Unproved(error.message, hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Sent:
    """A stored part."""

    number: int
    etag: str
    checksum: str
    algorithm: str
    """Algorithm of the checksum; empty if none was sent."""

    def xml(self) -> str:
        name = f"Checksum{self.algorithm}"
        kept = f"<{name}>{self.checksum}</{name}>" if self.algorithm else ""
        etag = f"<ETag>{escape(self.etag)}</ETag>"
        return f"<Part><PartNumber>{self.number}</PartNumber>{etag}{kept}</Part>"


@dataclass(frozen=True, slots=True)
class _Session:
    """One multipart upload."""

    client: S3Client
    doing: str
    key: str
    id: str
    sent: list[_Sent] = field(default_factory=list)

    @classmethod
    def begin(cls, client: S3Client, doing: str, key: str, *, plain: bool) -> _Session:
        headers = client.store.options.of_new(plain=plain)
        if algorithm := client.store.part_algorithm:
            headers["x-amz-checksum-algorithm"] = algorithm
        request = BucketRequest("POST", key, {"uploads": ""}, headers)
        begun = client.ask(doing, request).data
        return cls(client, doing, key, _read_element(client, doing, begun, "UploadId"))

    def run(self, source: UploadSource) -> int:
        try:
            size = send_parts(source, self.client.stop, self._send)
            self._complete()
        except BaseException:
            self._abort()
            raise
        return size

    def _send(self, number: int, part: memoryview) -> None:
        payload = self.client.store.part(steps_of(part))
        headers = {**self.client.store.reading, **self.client.store.checksum(payload)}
        query = {"partNumber": str(number), "uploadId": self.id}
        answer = self.client.ask(
            self.doing, BucketRequest("PUT", self.key, query, headers, payload)
        )
        if not (etag := answer.headers.get("etag")):
            raise StorageError(f"{self.doing}: the store names no part", hint=_odd(self.client))
        algorithm = self.client.store.part_algorithm
        # A store that does not know the checksum has not compared it.
        if algorithm == CRC32 and answer.headers.get(checksum_header(CRC32)) != payload.base64:
            why = f"{self.doing}: the store does not confirm the checksum of a part"
            raise StorageError(why, hint=_odd(self.client))
        self.sent.append(_Sent(number, etag, payload.base64, algorithm))

    def _complete(self) -> None:
        listed = "".join(one.xml() for one in sorted(self.sent, key=lambda one: one.number))
        root = "CompleteMultipartUpload"
        document = f'<{root} xmlns="{_NAMESPACE}">{listed}</{root}>'
        payload = payload_of([document.encode()])
        request = BucketRequest("POST", self.key, {"uploadId": self.id}, payload=payload)
        answer = self.client.ask(self.doing, request, also={404})
        said = read_document(answer.data.decode(errors="replace"))
        if said.code == "NoSuchUpload":  # it may be complete, with the first answer lost
            why = f"{self.doing}: the upload is gone ({said.with_status(answer.status)})"
            raise StorageUnavailable(why, hint=LATER)
        if said.code or answer.status == 404:  # also with 200, which was sent before it failed
            raise self.client.store.refused(self.doing, answer)
        _read_element(self.client, self.doing, answer.data, "ETag")

    def _abort(self) -> None:
        """Abort the upload, even after the caller was cancelled."""
        client = replace(self.client, stop=Event())
        with cleanup():
            client.ask(self.doing, BucketRequest("DELETE", self.key, {"uploadId": self.id}))


def _read_element(client: S3Client, doing: str, document: bytes, name: str) -> str:
    """Return one element of an answer.

    Raises:
        StorageError: The answer does not contain it.
    """
    try:
        text = next((part.text for part in parts(document, {name})), None)
    except ValueError as error:
        why = f"{doing}: the store's answer is not valid: {error}"
        raise StorageError(why, hint=_odd(client)) from error
    if not text:
        raise StorageError(f"{doing}: the store's answer has no {name}", hint=_odd(client))
    return text


def _odd(client: S3Client) -> str:
    return f"check what answers there: {client.store.address_hint}"
