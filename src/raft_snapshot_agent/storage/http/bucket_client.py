"""The requests to one bucket of any store: signed, limited, retried, never redirected.

The differences between the stores are in `Store`: URLs of objects, credentials, and the meaning of
errors.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from raft_snapshot_agent.errors import StorageDenied, StorageError
from raft_snapshot_agent.storage.http.answers import require_etag
from raft_snapshot_agent.storage.http.patience import ask_patiently, note_pause

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

Buffer = bytes | memoryview

CHUNK = 1 << 20
_SUCCESS = frozenset({200, 201, 202, 204, 206})
_WITH_BODY = frozenset({"PUT", "POST"})


class Digest(Protocol):
    """Hash or checksum of a body, computed piece by piece."""

    def update(self, data: Buffer, /) -> None:
        """Add the next bytes."""

    def digest(self) -> bytes:
        """Return the result."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a request, which can be sent again, and its hash or checksum."""

    pieces: Sequence[Buffer] = ()
    size: int = 0
    digest: bytes = b""
    """Of all bytes, with the algorithm that this kind of store checks."""

    @classmethod
    def of(cls, pieces: Iterable[Buffer], digest: Digest) -> Payload:
        """Store the pieces, and hash them once."""
        kept = tuple(pieces)
        for piece in kept:
            digest.update(piece)
        return cls(kept, sum(map(len, kept)), digest.digest())

    @property
    def base64(self) -> str:
        """The digest, in the encoding of headers."""
        return b64encode(self.digest).decode()


NOTHING = Payload()


@dataclass(frozen=True, slots=True)
class BucketRequest:
    """One request, which may be sent again."""

    method: str
    key: str = ""
    """Key of the object; empty: the bucket."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """In lower case."""
    payload: Payload = NOTHING


class Store(Protocol):
    """The part that differs between kinds of stores."""

    @property
    def endpoint(self) -> str:
        """Scheme and host."""

    @property
    def timeout(self) -> timedelta:
        """Timeout of one request."""

    @property
    def max_objects(self) -> int:
        """Maximum objects of a list."""

    @property
    def address_hint(self) -> str:
        """Hint what to check if the responses are not those of such a store."""

    @property
    def reading(self) -> Mapping[str, str]:
        """Headers of the requests that read an object or its size."""

    @property
    def removing(self) -> Mapping[str, str]:
        """Headers of the requests that remove an object."""

    def storing(self, key: str, content: Buffer, *, plain: bool) -> BucketRequest:
        """Return the request that stores a small object; `plain`: in the class cheapest to read."""

    def sign(self, doing: str, request: BucketRequest) -> tuple[str, dict[str, str]]:
        """Return the encoded URL of a request and its headers, with authentication."""

    def forget(self) -> bool:
        """Log in again before the next request; return whether that may help."""

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Return the error for an unsuccessful response; redirects are never followed."""

    def is_absent(self, answer: BaseHTTPResponse) -> bool:
        """Return whether a 404 means that the object does not exist; else it is the bucket."""

    def is_elsewhere(self, answer: BaseHTTPResponse) -> bool:
        """Return whether a 404, 409 or 412 means that the object is not the expected one."""


S = TypeVar("S", bound=Store)


@dataclass(frozen=True)
class BucketClient(Generic[S]):
    """One bucket; safe to share between threads."""

    store: S
    http: Http
    stop: Event = field(default_factory=Event)
    """Set to make it stop."""

    def ask(
        self,
        doing: str,
        request: BucketRequest,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Send a request, and retry it if that may help.

        Arguments:
            doing: Start of the error message, such as `cannot list snapshots in s3://backups/`.
            request: The request.
            most: Maximum bytes of the response; by default enough for all but lists.
            streaming: Do not read the body; the caller does.
            also: Statuses, in addition to success, that the caller handles.

        Raises:
            StorageError: It was refused, or there was no response.
        """
        once = partial(self.once, doing, request, most=most, streaming=streaming, also=also)
        return ask_patiently(once, self.store.timeout.total_seconds(), self.stop)

    def once(
        self,
        doing: str,
        request: BucketRequest,
        *,
        most: int | None = None,
        streaming: bool = False,
        also: Collection[int] = (),
    ) -> BaseHTTPResponse:
        """Send a request that must not be retried, except after an expired login."""
        send = partial(self._send, doing, request, most=most, streaming=streaming)
        answer = send_logged_in(send, self.store.forget)
        if answer.status in _SUCCESS or answer.status in also:
            return answer
        raise note_pause(self.store.refused(doing, answer), answer)

    def put(self, doing: str, key: str, content: Buffer, *, plain: bool) -> None:
        """Store a small object in one request; `plain`: in the class cheapest to read."""
        self.ask(doing, self.store.storing(key, content, plain=plain))

    def put_where(self, doing: str, key: str, content: bytes, expected: str | None) -> str | None:
        """Store a small object if its present ETag is the expected; `None`: if it does not exist.

        Returns:
            Its new ETag; `None` if its ETag was another.
        """
        condition = {"if-none-match": "*"} if expected is None else {"if-match": expected}
        request = self.store.storing(key, content, plain=True)
        request = replace(request, headers={**request.headers, **condition})
        answer = self.once(doing, request, also={404, 409, 412})
        if answer.status in _SUCCESS:
            return require_etag(answer, doing, self.store.address_hint)
        if not self.store.is_elsewhere(answer):
            raise self.store.refused(doing, answer)
        return None

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Open an object for reading at `start`; with `version` only if that is its ETag.

        Raises:
            SnapshotNotFound: It does not exist.
        """
        headers = {**self.store.reading}
        if start:
            headers["range"] = f"bytes={start}-"
        if version:
            headers["if-match"] = version
        return self.ask(doing, BucketRequest("GET", key, headers=headers), streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` more bytes; empty at the end."""
        return self.http.more(doing, self.store.endpoint, answer, size)

    def size(self, doing: str, key: str) -> int | None:
        """Return the size of an object; 0 if it does not exist, `None` without that permission."""
        try:
            answer = self.ask(
                doing, BucketRequest("HEAD", key, headers=self.store.reading), also={404}
            )
        except StorageDenied:
            return None
        length = answer.headers.get("content-length", "0")
        return int(length) if answer.status != 404 else 0

    def delete(self, doing: str, key: str) -> None:
        """Remove an object; that it does not exist is no error."""
        answer = self.ask(
            doing, BucketRequest("DELETE", key, headers=self.store.removing), also={404}
        )
        if answer.status == 404 and not self.store.is_absent(answer):
            raise self.store.refused(doing, answer)

    def _send(
        self, doing: str, request: BucketRequest, *, most: int | None, streaming: bool
    ) -> BaseHTTPResponse:
        payload, body = request.payload, None
        if request.method in _WITH_BODY:
            length = {"content-length": str(payload.size)}
            request = replace(request, headers={**request.headers, **length})
            body = payload.pieces or b""
        url, headers = self.store.sign(doing, request)
        return self.http.ask(
            doing, request.method, url, headers, body, streaming=streaming, most=most
        )


def send_logged_in(
    send: Callable[[], BaseHTTPResponse], forget: Callable[[], bool]
) -> BaseHTTPResponse:
    """Send a request; if the login is refused, send it again with a new one.

    Arguments:
        send: Sends it with the present login.
        forget: Discards the stored login; returns whether a new one may help.
    """
    answer = send()
    if answer.status == 401 and forget():
        answer.close()
        return send()
    return answer
