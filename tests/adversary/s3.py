"""A small S3 store in memory, which answers as it is told to: also what no real one would."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Self
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request

BUCKET = "vault-backups"
PREFIX = "prod/"
Rule = tuple[Callable[[Request], bool], Behaviour]


class Store:
    """Keeps objects in memory; the first rule whose condition is met answers in its place."""

    def __init__(self, name: str = "liar") -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.rules: list[Rule] = []
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.address = self._proxy.address

    @property
    def requests(self) -> list[Request]:
        return self._proxy.requests

    @property
    def files(self) -> dict[str, bytes]:
        """What lies under the prefix, without it."""
        with self._lock:
            held = dict(self.objects)
        return {k.removeprefix(PREFIX): v for k, v in held.items() if k.startswith(PREFIX)}

    def plant(self, files: dict[str, bytes]) -> None:
        with self._lock:
            self.objects |= {f"{PREFIX}{name}": content for name, content in files.items()}

    def settings(self) -> dict[str, object]:
        return {
            "type": "s3",
            "name": self.name,
            "bucket": BUCKET,
            "prefix": PREFIX,
            "endpoint": self.address,
            "region": "us-east-1",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
            "timeout": "2s",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.stop()

    def _choose(self, request: Request) -> Behaviour:
        return next((then for when, then in self.rules if when(request)), self.honest)

    def honest(self, exchange: Exchange) -> None:
        """Answer as a store should."""
        request = exchange.request
        key = key_of(request)
        body = exchange.body()
        match request.method:
            case "GET" if not key:
                self._listed(exchange)
            case "GET" | "HEAD":
                self._read(exchange, key)
            case "PUT":
                self._put(exchange, key, body)
            case "POST" if "delete" in request.query:
                self._delete_many(exchange, body)
            case "POST":
                self._post(exchange, key)
            case "DELETE":
                with self._lock:
                    self.objects.pop(key, None)
                answer(exchange, 204, b"")
            case _:
                answer(exchange, 405, b"")

    def _listed(self, exchange: Exchange) -> None:
        query = exchange.request.query
        if "uploads" in query:
            answer(exchange, 200, uploads())
            return
        prefix = query.get("prefix", [""])[0]
        with self._lock:
            found = {k: v for k, v in self.objects.items() if k.startswith(prefix)}
        answer(exchange, 200, listing((key, len(value)) for key, value in sorted(found.items())))

    def _read(self, exchange: Exchange, key: str) -> None:
        with self._lock:
            content = self.objects.get(key)
        if content is None:
            answer(exchange, 404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        answer(exchange, 200, content, etag=etag(content))

    def _put(self, exchange: Exchange, key: str, body: bytes) -> None:
        query = exchange.request.query
        with self._lock:
            if "partNumber" in query:
                self._uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
            else:
                self.objects[key] = body
        answer(exchange, 200, b"", etag=etag(body))

    def _post(self, exchange: Exchange, key: str) -> None:
        query = exchange.request.query
        with self._lock:
            if "uploads" in query:
                upload = f"u{next(self._numbers)}"
                self._uploads[upload] = {}
                said = f"<UploadId>{upload}</UploadId>"
                document = f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>"
            else:
                parts = self._uploads.pop(query["uploadId"][0])
                self.objects[key] = b"".join(parts[number] for number in sorted(parts))
                document = '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'
        answer(exchange, 200, document.encode())

    def _delete_many(self, exchange: Exchange, body: bytes) -> None:
        keys = [part.partition(b"</Key>")[0].decode() for part in body.split(b"<Key>")[1:]]
        with self._lock:
            for key in keys:
                self.objects.pop(key, None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        answer(exchange, 200, f"<DeleteResult>{gone}</DeleteResult>".encode())


def key_of(request: Request) -> str:
    return unquote(request.path).removeprefix(f"/{BUCKET}").lstrip("/")


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def answer(exchange: Exchange, status: int, body: bytes, *, etag: str = '"0"') -> None:
    headers = [
        ("Content-Length", str(len(body))),
        ("ETag", etag),
        ("Last-Modified", format_datetime(datetime.now(UTC), usegmt=True)),
    ]
    exchange.answer(status, headers, body)


def listing(entries: Iterable[tuple[str, object]], more: str = "") -> bytes:
    """Write a page of a listing; `more` is what follows the entries."""
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>&quot;0&quot;</ETag>"
        "<LastModified>2026-11-26T00:00:00.000Z</LastModified></Contents>"
        for key, size in entries
    )
    more = more or "<IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{rows}{more}</ListBucketResult>".encode()


def uploads(rows: str = "", more: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    """Write a page of the list of unfinished uploads."""
    return f"<ListMultipartUploadsResult>{rows}{more}</ListMultipartUploadsResult>".encode()
