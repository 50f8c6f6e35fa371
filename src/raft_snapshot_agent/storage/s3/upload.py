"""How a snapshot becomes an object: nothing of it is visible, and nothing stays, until it is whole.

What is small goes in one request. What is larger is sent while it grows, in parts, several at
once; the last of them waits for the snapshot's verdict.

Source: "Uploading and copying objects using multipart upload" of the S3 guide.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from xml.sax.saxutils import escape

from raft_snapshot_agent.core.naming import snapshot_name
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import StorageError, StorageFull, StorageUnavailable
from raft_snapshot_agent.network.deadline import Deadline, enter
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.error_codes import LATER
from raft_snapshot_agent.storage.http.body import StoppableSource
from raft_snapshot_agent.storage.http.parts import (
    read_if_small,
    require_size,
    send_parts,
    steps_of,
)
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.s3.client import S3Client, S3Request
from raft_snapshot_agent.storage.s3.demands import Unproved
from raft_snapshot_agent.storage.s3.payload import CRC32, Payload

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_TAKEN_BACK = 60.0
"""Seconds for the request that drops an upload: its parts are charged for."""


def upload(client: S3Client, doing: str, key: str, source: UploadSource, stop: Event) -> int:
    """Store a source, following it while it grows; set `stop` to have it break off.

    Returns:
        Bytes stored, as the store reports where that right is given.
    """
    client, source = replace(client, stop=stop), StoppableSource(source, stop)
    name = key.rpartition("/")[2]
    plain = snapshot_name(name) != name
    if (whole := read_if_small(source)) is not None:
        sent = len(whole)
        client.put(doing, key, Payload.of([whole]), plain=plain)
    else:
        sent = _send_in_parts(client, doing, key, source, plain=plain)
    # The bytes were checked already, against the digest or the checksum of every request.
    return require_size(client, key, client.bucket.shown(key), sent)


def _send_in_parts(
    client: S3Client, doing: str, key: str, source: UploadSource, *, plain: bool
) -> int:
    """Send a source in parts.

    Raises:
        Unproved: It was refused; what is signed may be taken.
    """
    try:
        return _Session.begin(client, doing, key, plain=plain).run(source)
    except (StorageUnavailable, StorageFull):
        raise
    except StorageError as error:
        if not client.unsigned:
            raise
        raise Unproved(error.message, hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part that the store has."""

    number: int
    etag: str
    checksum: str
    """Empty where the store keeps none."""
    algorithm: str

    def xml(self) -> str:
        name = f"Checksum{self.algorithm}"
        kept = f"<{name}>{self.checksum}</{name}>" if self.checksum else ""
        etag = f"<ETag>{escape(self.etag)}</ETag>"
        return f"<Part><PartNumber>{self.number}</PartNumber>{etag}{kept}</Part>"


@dataclass(frozen=True, slots=True)
class _Session:
    """One upload in parts."""

    client: S3Client
    doing: str
    key: str
    id: str
    sent: list[_Sent] = field(default_factory=list)

    @classmethod
    def begin(cls, client: S3Client, doing: str, key: str, *, plain: bool) -> _Session:
        headers = client.options.of_new(plain=plain)
        if client.options.checksum or client.unsigned:
            headers["x-amz-checksum-algorithm"] = CRC32 if client.unsigned else "SHA256"
        request = S3Request("POST", key, {"uploads": ""}, headers)
        begun = client.ask(doing, request).data
        return cls(client, doing, key, _found(client, doing, begun, "UploadId"))

    def run(self, source: UploadSource) -> int:
        try:
            size = send_parts(source, self.client.stop, self._send)
            self._complete()
        except BaseException:
            self._abort()
            raise
        return size

    def _send(self, number: int, part: memoryview) -> None:
        make = Payload.unsigned if self.client.unsigned else Payload.of
        payload = make(steps_of(part))
        checksum = self.client.checksum(payload)
        headers = {**self.client.options.of_access, **checksum}
        query = {"partNumber": str(number), "uploadId": self.id}
        answer = self.client.ask(self.doing, S3Request("PUT", self.key, query, headers, payload))
        if not (etag := answer.headers.get("etag")):
            raise StorageError(f"{self.doing}: the store names no part", hint=_odd(self.client))
        # A store that knows nothing of this checksum has not looked at it.
        if not payload.is_signed and answer.headers.get(payload.header) != payload.base64:
            why = f"{self.doing}: the store does not say that it checked what it was sent"
            raise StorageError(why, hint=_odd(self.client))
        kept = payload.base64 if checksum else ""
        self.sent.append(_Sent(number, etag, kept, payload.algorithm))

    def _complete(self) -> None:
        listed = "".join(one.xml() for one in sorted(self.sent, key=lambda one: one.number))
        root = "CompleteMultipartUpload"
        document = f'<{root} xmlns="{_NAMESPACE}">{listed}</{root}>'
        payload = Payload.of([document.encode()])
        request = S3Request("POST", self.key, {"uploadId": self.id}, payload=payload)
        answer = self.client.ask(self.doing, request, also={404})
        said = read_document(answer.data.decode(errors="replace"))
        if said.code == "NoSuchUpload":  # perhaps as it came about, and the answer was lost
            why = f"{self.doing}: the upload is gone ({said.with_status(answer.status)})"
            raise StorageUnavailable(why, hint=LATER)
        if said.code or answer.status == 404:  # also with 200, which was sent before it failed
            raise self.client.refused(self.doing, answer)
        _found(self.client, self.doing, answer.data, "ETag")

    def _abort(self) -> None:
        """Drop the upload, also where nobody waits for it any more."""
        client = replace(self.client, stop=Event())
        with enter(Deadline(_TAKEN_BACK)), suppress(StorageError):
            client.ask(self.doing, S3Request("DELETE", self.key, {"uploadId": self.id}))


def _found(client: S3Client, doing: str, document: bytes, name: str) -> str:
    """Read one thing that an answer tells.

    Raises:
        StorageError: It does not.
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
    return f"check what answers there: {client.hints.address}"
