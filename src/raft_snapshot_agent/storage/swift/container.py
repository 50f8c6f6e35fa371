"""Requests to one container by Swift's object API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import SnapshotNotFound, StorageDenied, StorageError
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.http.bucket_client import CHUNK, send_logged_in
from raft_snapshot_agent.storage.http.http import Http, refusal, told_by
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList, size_of
from raft_snapshot_agent.storage.swift.login import SwiftLogin
from raft_snapshot_agent.storage.swift.options import SwiftOptions

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_SUCCESS = {200, 201, 202, 204, 206}
_NEWEST = {"x-newest": "true"}
"""Makes the store ask all replicas, because one may still have an old version."""
SEGMENTS = ".segments/"
_RIGHTS = "allow it to write, and to list, read and delete for the rest"
_CONTAINER = "create it, or check container, project and region"


@dataclass(frozen=True, slots=True)
class SwiftObject:
    """One object as the store lists it."""

    key: str
    size: int
    touched: datetime


class Container:
    """Client of one container; thread-safe."""

    def __init__(self, settings: SwiftOptions) -> None:
        self._name = settings.container
        bundle = os.environ.get("OS_CACERT")
        ca_file = settings.ca_file or (Path(bundle) if bundle else None)
        self._http = Http(settings.timeout, TlsOptions(ca_file), settings.proxy)
        self._login = SwiftLogin(settings, self._http)
        self._most = settings.max_objects
        self._address = ""
        """URL of the account, once known."""

    def shown(self, key: str) -> str:
        """Return the address of an object as an operator would write it."""
        return f"swift://{self._name}/{key}"

    def path(self, key: str) -> str:
        """Return the path of an object as in manifests."""
        return f"/{self._name}/{key}"

    def key(self, path: str) -> str:
        """Return the key for a path; the inverse of `path`."""
        return path.removeprefix(f"/{self._name}/")

    def put(
        self,
        key: str,
        body: bytes | Iterable[bytes],
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> str:
        """Store an object, which is visible when it is complete.

        Returns:
            The checksum that the store has computed.
        """
        doing = f"cannot store {self.shown(key)}"
        answer = self._ask(doing, "PUT", key, body, headers=headers, query=query)
        return answer.headers.get("etag", "").strip('"')

    def listed(self, doing: str, prefix: str, delimiter: str = "") -> list[SwiftObject]:
        """List the objects whose keys begin with `prefix`; those in folders below if asked to."""
        query = {"format": "json", "prefix": prefix, "limit": str(PAGE)}
        if delimiter:
            query["delimiter"] = delimiter
        return list(self._pages(doing, query))

    def size(self, key: str) -> int | None:
        """Return the size of an object; `None` without permission."""
        try:
            answer = self._ask(f"cannot check {self.shown(key)}", "HEAD", key, headers=_NEWEST)
        except StorageDenied:
            return None
        except SnapshotNotFound:
            return 0
        return int(answer.headers.get("content-length", "0"))

    def segments(self, key: str) -> list[str]:
        """List the segments of an object in its own segments folder; none if plain or missing.

        A forged manifest could name other snapshots as its segments, which would be deleted with
        it; so segments outside the object's folder are ignored.

        Raises:
            StorageDenied: No permission to read the manifest.
        """
        doing = f"cannot read the manifest of {self.shown(key)}"
        with suppress(SnapshotNotFound):
            head = self._ask(doing, "HEAD", key, headers=_NEWEST)
            if head.headers.get("x-static-large-object", "").lower() == "true":
                query = {"multipart-manifest": "get"}
                answer = self._ask(doing, "GET", key, headers=_NEWEST, query=query)
                named = (self.key(str(one.get("name"))) for one in _document(doing, answer.data))
                return [one for one in named if one.startswith(segments_folder(key))]
        return []

    def open(
        self, doing: str, key: str, start: int = 0, version: str | None = None
    ) -> BaseHTTPResponse:
        """Begin to read an object, at `start`; only with that ETag if one is given.

        Not every version knows the ETag of an object in segments when asked for it: it is
        compared here.

        Raises:
            SnapshotNotFound: There is none of that name.
        """
        headers = {"range": f"bytes={start}-"} if start else {}
        answer = self._ask(doing, "GET", key, headers=headers, streaming=True)
        if version and answer.headers.get("etag") != version:
            answer.close()
            raise StorageError(f"{doing}: it was replaced while it was read", hint="try again")
        return answer

    def read_on(self, doing: str, answer: BaseHTTPResponse) -> bytes:
        """Read the next piece; empty at the end."""
        return self._http.more(doing, self._address, answer, CHUNK)

    def delete(self, doing: str, key: str) -> None:
        """Remove an object, then what it was made of: its name never stands for less than all."""
        segments: list[str] = []
        with suppress(StorageDenied):  # reading is an optional right; a sweep may find them
            segments = self.segments(key)
        self.remove([key], doing)
        self.remove(segments)

    def remove(self, keys: Iterable[str], doing: str | None = None) -> None:
        """Remove single objects; what is gone is no error."""
        for key in keys:
            with suppress(SnapshotNotFound):
                self._ask(doing or f"cannot delete {self.shown(key)}", "DELETE", key)

    def _pages(self, doing: str, query: dict[str, str]) -> Iterator[SwiftObject]:
        marker, listing = "", PagedList[SwiftObject](doing, self._most)
        while True:
            query = query | {"marker": marker}
            answer = self._ask(doing, "GET", "", query=query, most=PAGE_BYTES)
            page = _document(doing, answer.data) if answer.status != 204 else []
            if not page:
                return
            named = [(str(one.get("name") or one.get("subdir")), one) for one in page]
            yield from listing.page(
                (name, _object(doing, one) if "name" in one else None) for name, one in named
            )
            marker = named[-1][0]

    def _ask(
        self,
        doing: str,
        method: str,
        key: str,
        body: bytes | Iterable[bytes] | None = None,
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        streaming: bool = False,
        most: int | None = None,
    ) -> BaseHTTPResponse:
        repeatable = body is None or isinstance(body, bytes)
        path = f"/{quote(self._name, safe='')}" + (f"/{quote(key)}" if key else "")
        path += f"?{urlencode(query, errors='replace')}" if query else ""

        def send() -> BaseHTTPResponse:
            access = self._login.access()
            self._address = access.storage_url
            sent, url = {"x-auth-token": access.token, **(headers or {})}, self._address + path
            return self._http.ask(doing, method, url, sent, body, streaming=streaming, most=most)

        answer = send_logged_in(send, lambda: repeatable and self._login.forget())
        if answer.status in _SUCCESS:
            return answer
        with closing(answer):
            raise self._refused(doing, method, key, answer)

    def _refused(self, doing: str, method: str, key: str, answer: BaseHTTPResponse) -> StorageError:
        if answer.status == 401:
            self._login.forget()
        if answer.status == 413:
            why = f"{doing}: too large for the store ({told_by(answer)})"
            return StorageError(why, hint="likely lower segment_size, or raise the quota")
        if answer.status != 404:
            otherwise = "check container and storage_url"
            return refusal(doing, answer, denied=_RIGHTS, otherwise=otherwise)
        if method == "PUT" or not key:
            why = f"{doing}: the container does not exist ({told_by(answer)})"
            return StorageError(why, hint=_CONTAINER)
        why = f"{doing}: there is none of that name ({told_by(answer)})"
        return SnapshotNotFound(why, hint="try list")


def segments_folder(key: str) -> str:
    """Return the hidden folder of an object's segments."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{SEGMENTS}{name}/"


def _document(doing: str, text: bytes) -> list[dict[str, str]]:
    try:
        document = read_json(text)
    except ValueError as error:
        raise StorageError(f"{doing}: the answer is not JSON", hint="check storage_url") from error
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise StorageError(f"{doing}: the answer is no list", hint="check storage_url")
    return document


def _object(doing: str, listed: dict[str, str]) -> SwiftObject:
    try:
        touched = datetime.fromisoformat(listed["last_modified"]).replace(tzinfo=UTC)
        return SwiftObject(str(listed["name"]), size_of(str(listed["bytes"])), touched)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        why = f"{doing}: the store describes an object without size or time"
        raise StorageError(why, hint="check storage_url") from error
