"""The requests to one bucket of any store: signed, bounded, repeated, never redirected.

What differs from one kind of store to the next is its `Store`: where an object is, who asks, and
what a refusal means.
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
from raft_snapshot_agent.storage.http.patience import ask_patiently

if TYPE_CHECKING:
    from hashlib import _Hash

    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

Buffer = bytes | memoryview

CHUNK = 1 << 20
_SUCCESS = frozenset({200, 201, 202, 204, 206})
_WITH_BODY = frozenset({"PUT", "POST"})


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a request, which can be sent more than once, and what proves it unchanged."""

    pieces: Sequence[Buffer] = ()
    size: int = 0
    digest: bytes = b""
    """Of all bytes, by the hash that this kind of store checks them with."""

    @classmethod
    def of(cls, pieces: Iterable[Buffer], digest: _Hash) -> Payload:
        """Keep the pieces, and hash them once."""
        kept = tuple(pieces)
        for piece in kept:
            digest.update(piece)
        return cls(kept, sum(map(len, kept)), digest.digest())

    @property
    def base64(self) -> str:
        """The digest, as headers have it."""
        return b64encode(self.digest).decode()


NOTHING = Payload()


@dataclass(frozen=True, slots=True)
class BucketRequest:
    """One request, as often as it is made."""

    method: str
    key: str = ""
    """Of an object; empty: of the bucket."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """In lower case."""
    payload: Payload = NOTHING


class Store(Protocol):
    """What one kind of store has of its own."""

    @property
    def endpoint(self) -> str:
        """Scheme and host."""

    @property
    def timeout(self) -> timedelta:
        """Of one request."""

    @property
    def max_objects(self) -> int:
        """The most that a list may have."""

    @property
    def address_hint(self) -> str:
        """What to check where the store is not what was expected."""

    @property
    def reading(self) -> Mapping[str, str]:
        """The headers with what reads an object or looks at it."""

    @property
    def removing(self) -> Mapping[str, str]:
        """The headers with what removes one."""

    def storing(self, key: str, content: Buffer, *, plain: bool) -> BucketRequest:
        """Ask for a small object to be stored; `plain`: where reading it costs least."""

    def sign(self, doing: str, request: BucketRequest) -> tuple[str, dict[str, str]]:
        """Return a request's address, encoded, and its headers, with whatever proves a login."""

    def forget(self) -> bool:
        """Log in anew next time; return whether that may help."""

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        """Translate an answer that is no success; nobody is followed with what proves a login."""

    def is_absent(self, answer: BaseHTTPResponse) -> bool:
        """Return whether a 404 says that there is no such object; else it is the bucket."""

    def is_elsewhere(self, answer: BaseHTTPResponse) -> bool:
        """Return whether a 404, 409 or 412 says that another object was there than expected."""


S = TypeVar("S", bound=Store)


@dataclass(frozen=True)
class BucketClient(Generic[S]):
    """One bucket; safe to share between threads."""

    store: S
    http: Http
    stop: Event = field(default_factory=Event)
    """Set to have it give up."""

    def ask(
        self,
        doing: str,
        request: BucketRequest,
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
        """Make a request that must not be made again, but for a login that ran out."""
        send = partial(self._send, doing, request, most=most, streaming=streaming)
        answer = send_logged_in(send, self.store.forget)
        if answer.status in _SUCCESS or answer.status in also:
            return answer
        raise self.store.refused(doing, answer)

    def put(self, doing: str, key: str, content: Buffer, *, plain: bool) -> None:
        """Store a small object in one request; `plain`: where reading it costs least."""
        self.ask(doing, self.store.storing(key, content, plain=plain))

    def put_where(self, doing: str, key: str, content: bytes, expected: str | None) -> str | None:
        """Store a small object where its ETag is the expected; nothing: where there is none.

        Returns:
            Its ETag now; nothing where something else was there.
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
        """Begin to read an object, at `start`; only with that ETag if one is given.

        Raises:
            SnapshotNotFound: There is none of that name.
        """
        headers = {**self.store.reading}
        if start:
            headers["range"] = f"bytes={start}-"
        if version:
            headers["if-match"] = version
        return self.ask(doing, BucketRequest("GET", key, headers=headers), streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` bytes more; empty at the end."""
        return self.http.more(doing, self.store.endpoint, answer, size)

    def size(self, doing: str, key: str) -> int | None:
        """Return how large an object is, 0 where there is none; nothing without that right."""
        try:
            answer = self.ask(
                doing, BucketRequest("HEAD", key, headers=self.store.reading), also={404}
            )
        except StorageDenied:
            return None
        length = answer.headers.get("content-length", "0")
        return int(length) if answer.status != 404 else 0

    def delete(self, doing: str, key: str) -> None:
        """Remove an object; what is gone is no error."""
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
    """Send a request; where the login is refused, once more with a new one.

    Arguments:
        send: Sends it, with the login as it is now.
        forget: Drops a login that is kept, and returns whether a new one may help.
    """
    answer = send()
    if answer.status == 401 and forget():
        answer.close()
        return send()
    return answer
