"""How a snapshot becomes an object: nothing of it is visible, and nothing stays, until it is whole.

What is small goes in one request. What is larger is sent while it grows, in parts, several at
once; the last of them waits for the snapshot's verdict.

Source: "Uploading and copying objects using multipart upload" of the S3 guide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from xml.sax.saxutils import escape

from raft_snapshot_agent.core.naming import snapshot_name
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.network.deadline import Deadline, enter
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.error_codes import LATER
from raft_snapshot_agent.storage.http.body import StoppableSource
from raft_snapshot_agent.storage.http.lanes import Lanes
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.s3.client import S3Client, S3Request
from raft_snapshot_agent.storage.s3.payload import Payload

PART = 12 << 20
"""Bytes of a part, of which there are 10,000 at most: 117 GiB."""
_PARALLEL = 3
"""Parts under way, each in memory."""
_STEP = 1 << 20
"""Read and sent at once: over a slow link even that must not take longer than the timeout."""
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
    if (size := _size_if_small(source)) is not None:
        payload = Payload.of([_filled(source, 0, bytearray(size))])
        client.put(doing, key, payload, plain=plain)
        return _compared(client, key, payload.size)
    return _compared(client, key, _Session.begin(client, doing, key, plain=plain).run(source))


def _size_if_small(source: UploadSource) -> int | None:
    """Wait until all is there, and return how much that is; nothing once it is more than a part."""
    reached = 0
    while reached <= PART and (longer := source.follow(reached)) > reached:
        reached = longer
    return reached if reached <= PART else None


def _filled(source: UploadSource, start: int, buffer: bytearray) -> memoryview:
    """Read one part, or what there is left, into a buffer, and return what it fills of that."""
    size = 0
    while wanted := min(_STEP, len(buffer) - size):
        if not (piece := source.read(start + size, wanted)):
            break
        buffer[size : size + len(piece)] = piece
        size += len(piece)
    return memoryview(buffer)[:size]


def _compared(client: S3Client, key: str, sent: int) -> int:
    # The bytes were checked already, against the digest that every request is signed with.
    where = client.bucket.shown(key)
    stored = client.size(f"cannot look at {where}", key)
    if stored is None or stored == sent:
        return sent
    with suppress(StorageError):
        client.delete(f"cannot delete {where}", key)
    raise StorageError(f"{where} holds {stored} bytes of {sent} sent")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part that the store has."""

    number: int
    etag: str
    checksum: str
    """Empty where the store keeps none."""

    def xml(self) -> str:
        kept = f"<ChecksumSHA256>{self.checksum}</ChecksumSHA256>" if self.checksum else ""
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
        if client.options.checksum:
            headers["x-amz-checksum-algorithm"] = "SHA256"
        request = S3Request("POST", key, {"uploads": ""}, headers)
        begun = client.ask(doing, request).data
        return cls(client, doing, key, _found(client, doing, begun, "UploadId"))

    def run(self, source: UploadSource) -> int:
        lanes = Lanes(_PARALLEL, self.client.stop)
        try:
            size = self._all(lanes, source)
            self._complete()
        except BaseException:
            lanes.close()
            self._abort()
            raise
        return size

    def _all(self, lanes: Lanes, source: UploadSource) -> int:
        number = position = 0
        # Filled again and again: new memory for every part would cost more than sending it.
        free = deque(bytearray(PART) for _ in range(_PARALLEL))
        lanes.wait()
        while part := _filled(source, position, buffer := free.popleft()):
            number, position = number + 1, position + len(part)
            lanes.begin(partial(self._send, number, part, partial(free.append, buffer)))
            lanes.wait()
        lanes.finish()
        return position

    def _send(self, number: int, part: memoryview, done: Callable[[], None]) -> None:
        payload = Payload.of(part[at : at + _STEP] for at in range(0, len(part), _STEP))
        headers = {**self.client.options.of_access, **self.client.checksum(payload)}
        query = {"partNumber": str(number), "uploadId": self.id}
        answer = self.client.ask(self.doing, S3Request("PUT", self.key, query, headers, payload))
        if not (etag := answer.headers.get("etag")):
            raise StorageError(f"{self.doing}: the store names no part", hint=_odd(self.client))
        kept = payload.base64 if self.client.options.checksum else ""
        self.sent.append(_Sent(number, etag, kept))
        done()

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
        why = f"{doing}: the store's answer makes no sense: {error}"
        raise StorageError(why, hint=_odd(client)) from error
    if not text:
        raise StorageError(f"{doing}: the store's answer has no {name}", hint=_odd(client))
    return text


def _odd(client: S3Client) -> str:
    return f"look what answers there: {client.hints.address}"
