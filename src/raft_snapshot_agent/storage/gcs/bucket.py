"""Requests to one bucket by Cloud Storage's JSON API.

Source: the reference of the JSON API, and "Perform resumable uploads".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.errors import LoginRefused, SnapshotNotFound, StorageError
from raft_snapshot_agent.storage.gcs.errors import GcsAnswer, refusal
from raft_snapshot_agent.storage.gcs.multipart import BYTES, JSON, two_parts
from raft_snapshot_agent.storage.http.bucket_client import CHUNK, send_logged_in
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList, size_of
from raft_snapshot_agent.storage.http.patience import note_pause
from raft_snapshot_agent.storage.limits import MOST_OBJECTS

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_FIELDS = "name,size,md5Hash,generation,updated"
_SUCCESS = {200, 204, 206}
GENERATION = "x-goog-generation"
"""The header with the generation when an object is read."""
GONE = {404, 410}
CANCELLED = 499
"""Status of the answer to a cancelled upload. Source: "Cancel an upload"."""


class GcsIdentity(Protocol):
    """Authenticates a request."""

    def headers(self, doing: str) -> Mapping[str, str]:
        """Return the headers that authenticate a request."""

    def forget(self) -> bool:
        """Drop cached credentials; return whether a retry may help."""


class Nobody:
    """No credentials, for emulators and public buckets."""

    def headers(self, _doing: str) -> Mapping[str, str]:
        return {}

    def forget(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class GcsObject:
    """One object as the store describes it."""

    key: str
    size: int
    md5: str
    """MD5 in base64; empty if the store has none."""
    generation: str
    updated: datetime | None = None
    """Last modification by the store's clock, if reported."""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> GcsObject:
        return cls(
            str(described["name"]),
            size_of(str(described["size"])),
            str(described.get("md5Hash", "")),
            str(described.get("generation", "")),
            moment(str(described.get("updated", ""))),
        )


class GcsBucket:
    """Client of one bucket; thread-safe."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        http: Http,
        identity: GcsIdentity,
        kms_key: str | None = None,
        most: int = MOST_OBJECTS,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._http = http
        self._identity = identity
        self._kms_key = kms_key
        self._most = most

    @property
    def url(self) -> str:
        """The bucket's address as an operator would write it."""
        return f"gs://{self._name}"

    def shown(self, key: str) -> str:
        """Return the address of an object as an operator would write it."""
        return f"{self.url}/{key}"

    def list_objects(self, prefix: str, doing: str) -> Iterator[GcsObject]:
        """List the objects directly below a prefix, page by page."""
        query = {
            "prefix": prefix,
            "delimiter": "/",
            "maxResults": str(PAGE),
            "fields": f"items({_FIELDS}),nextPageToken",
        }
        listing: PagedList[GcsObject] = PagedList(doing, self._most)
        while True:
            answer = self._ask(doing, "GET", self._objects(query), most=PAGE_BYTES)
            page = _document(doing, answer)
            yield from listing.page((one.key, one) for one in _objects(doing, page))
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = str(page["nextPageToken"])

    def describe(self, key: str) -> GcsObject:
        """Request the metadata of one object.

        Raises:
            SnapshotNotFound: No object has that name.
        """
        doing = f"cannot look at {self.shown(key)}"
        answer = self._ask(doing, "GET", self._object(key, {"fields": _FIELDS}), of_object=True)
        return _described(doing, _document(doing, answer))

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Start to read an object at `start`; only a given generation, if any.

        Raises:
            SnapshotNotFound: No object has that name.
        """
        condition = {"ifGenerationMatch": version} if version else {}
        url = self._object(key, {"alt": "media", **condition})
        headers = {"range": f"bytes={start}-"} if start else {}
        return self._ask(doing, "GET", url, headers=headers, of_object=True, streaming=True)

    def read_on(self, doing: str, answer: BaseHTTPResponse, size: int = CHUNK) -> bytes:
        """Read at most `size` bytes more; empty at the end."""
        return self._http.more(doing, self._endpoint, answer, size)

    def delete(self, doing: str, key: str, generation: str | None = None) -> None:
        """Remove an object, or only that generation of it; what is gone is no error."""
        condition = {"ifGenerationMatch": generation} if generation else {}
        with suppress(SnapshotNotFound):
            self._ask(doing, "DELETE", self._object(key, condition), of_object=True)

    def insert(
        self, doing: str, content: bytes, metadata: Mapping[str, str], generation: str | None = None
    ) -> GcsObject | None:
        """Store a small object in one request.

        Arguments:
            doing: Start of the error message.
            content: Content of the object.
            metadata: Metadata of the object, including its `name`.
            generation: Required present generation; `0`: no object; `None`: unconditional.

        Returns:
            The stored object; `None` if the condition failed.
        """
        kind, body = two_parts(metadata, content)
        condition = {"ifGenerationMatch": generation} if generation else {}
        url = self._upload({"uploadType": "multipart", **condition})
        answer = self.request(doing, "POST", url, {"content-type": kind}, body)
        return None if answer.status == 412 else self.described(doing, answer)

    def begin(self, doing: str, metadata: Mapping[str, str]) -> str:
        """Start a resumable upload.

        Returns:
            The URL of the upload, always on the configured host, because tokens are sent there.
        """
        url = self._upload({"uploadType": "resumable"})
        headers = {"content-type": JSON, "x-upload-content-type": BYTES}
        body = json.dumps(metadata).encode()
        answer = self._ask(doing, "POST", url, headers=headers, body=body)
        session = urlsplit(answer.headers.get("location", ""))
        if not session.path:
            raise StorageError(f"{doing}: the store began no upload", hint="check endpoint")
        return f"{self._endpoint}{session.path}?{session.query}"

    def cancel(self, doing: str, session: str) -> None:
        """Cancel an upload and drop its data; a missing one is not an error."""
        answer = self.request(doing, "DELETE", session, {"content-length": "0"})
        if answer.status not in {CANCELLED, 200, 204, *GONE}:
            raise self.refused(doing, answer)

    def described(self, doing: str, answer: BaseHTTPResponse) -> GcsObject:
        """Parse the store's description of a stored object."""
        if answer.status not in {200, 201}:
            raise self.refused(doing, answer)
        return _described(doing, _document(doing, answer))

    def refused(
        self, doing: str, answer: BaseHTTPResponse, *, of_object: bool = False
    ) -> StorageError:
        """Return the error for a refusal."""
        with self._http.translated(doing, self._endpoint):
            told = GcsAnswer.of(answer)
        error = note_pause(refusal(doing, told, of_object=of_object), answer)
        if isinstance(error, LoginRefused) and isinstance(self._identity, Nobody):
            return LoginRefused(error.message, hint="it requires a login: remove anonymous: true")
        return error

    def request(
        self,
        doing: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        streaming: bool = False,
        most: int | None = None,
    ) -> BaseHTTPResponse:
        """Make a request with a token; if a cached one is refused, retry with a new one.

        A body in pieces must be iterable twice.
        """

        def once() -> BaseHTTPResponse:
            sent = {**headers, **self._identity.headers(doing)}
            return self._http.ask(doing, method, url, sent, body, streaming=streaming, most=most)

        return send_logged_in(once, self._identity.forget)

    def _ask(
        self,
        doing: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        of_object: bool = False,
        streaming: bool = False,
        most: int | None = None,
    ) -> BaseHTTPResponse:
        answer = self.request(
            doing, method, url, headers or {}, body, streaming=streaming, most=most
        )
        if answer.status not in _SUCCESS:
            raise self.refused(doing, answer, of_object=of_object)
        return answer

    def _objects(self, query: Mapping[str, str]) -> str:
        return f"{self._endpoint}/storage/v1/b/{quote(self._name)}/o?{_encode(query)}"

    def _object(self, key: str, query: Mapping[str, str]) -> str:
        place = f"{self._endpoint}/storage/v1/b/{quote(self._name)}/o/{quote(key, safe='')}"
        return f"{place}?{_encode(query)}" if query else place

    def _upload(self, query: Mapping[str, str]) -> str:
        key = {"kmsKeyName": self._kms_key} if self._kms_key else {}
        place = f"{self._endpoint}/upload/storage/v1/b/{quote(self._name)}/o"
        return f"{place}?{_encode({**query, **key, 'fields': _FIELDS})}"


def _encode(query: Mapping[str, str]) -> str:
    return urlencode(query, quote_via=quote, safe="")


def _document(doing: str, answer: BaseHTTPResponse) -> dict[str, Any]:
    try:
        document = read_json(answer.data)
    except ValueError:
        document = None
    if not (isinstance(document, dict) and isinstance(document.get("items", []), list)):
        raise StorageError(
            f"{doing}: the answer is not Cloud Storage's", hint="check endpoint and proxy"
        )
    return document


def _objects(doing: str, page: Mapping[str, Any]) -> list[GcsObject]:
    """Parse the objects of one page of a listing; a page without any has no `items`."""
    return [_described(doing, item) for item in page.get("items", [])]


def _described(doing: str, item: Mapping[str, Any]) -> GcsObject:
    try:
        return GcsObject.of(item)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        why = f"{doing}: the store describes an object without name or size"
        raise StorageError(why, hint="check endpoint") from error
