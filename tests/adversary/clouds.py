"""Azure, Google Cloud Storage and Swift in memory, which answer as they are told to."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.adversary.s3 import PREFIX
from tests.adversary.store_lies import DEEP, ENTITIES, FAILED, STORED, Lie
from tests.adversary.tricks import SHOUT, asked, says
from tests.adversary.wire import (
    EITHER,
    Dialect,
    MemoryStore,
    Rows,
    simply,
    whole_key,
    wire_lies,
)
from tests.http_proxy import Behaviour, Exchange, Request

BUCKET = "vault-backups"
AZURE_KEY = b64encode(b"the-key-of-the-account-that-lies").decode()
SWIFT_TOKEN = "gAAAAA-the-token-of-the-account-that-lies"
_DATE = "Thu, 26 Nov 2026 03:00:00 GMT"


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


# Azure.


def azure_listing(rows: Rows, mark: str = "") -> bytes:
    blobs = "".join(
        f"<Blob><Name>{escape(whole_key(name))}</Name><Properties><Last-Modified>{_DATE}"
        f"</Last-Modified><Content-Length>{size}</Content-Length></Properties></Blob>"
        for name, size in rows
    )
    end = f"<NextMarker>{mark}</NextMarker>"
    return f"<EnumerationResults><Blobs>{blobs}</Blobs>{end}</EnumerationResults>".encode()


def _name_in(path: str) -> str:
    return unquote(path).partition(f"/{BUCKET}/")[2].removeprefix(PREFIX)


MOST = 20_000
"""Objects that a list may have: one without an end is to end within seconds."""


class AzureStore(MemoryStore):
    """A container."""

    def settings(self) -> dict[str, object]:
        return {
            "type": "azure",
            "name": self.name,
            "container": BUCKET,
            "prefix": PREFIX,
            "endpoint": f"{self.address}/backups",
            "account_name": "backups",
            "account_key": AZURE_KEY,
            "timeout": "2s",
            "max_objects": MOST,
        }

    def honest(self, exchange: Exchange) -> None:
        request, name = exchange.request, _name_in(exchange.request.path)
        body, held = exchange.body(), self.files
        if _lists_blobs(request):
            says(200, azure_listing((key, len(value)) for key, value in held.items()))(exchange)
        elif request.method == "PUT":
            self.plant({name: body})
            _azure_stored(name, body)(exchange)
        elif request.method == "DELETE":
            says(202 if self.remove(name) else 404, b"")(exchange)
        else:
            there = name in held
            says(200 if there else 404, held.get(name, b""), ("ETag", '"1"'))(exchange)


def _azure_stored(_name: str, _content: bytes) -> Behaviour:
    return says(201, b"", ("ETag", '"1"'))


def _lists_blobs(request: Request) -> bool:
    return request.query.get("comp") == ["list"]


AZURE = Dialect(
    "azure",
    lists=_lists_blobs,
    puts=asked("PUT"),
    reads=asked("GET", ".snap.json"),
    deletes=asked("DELETE"),
    listing=azure_listing,
    error=b"<Error><Code>InternalError</Code><Message>no</Message></Error>",
    name_of=lambda exchange, body: (_name_in(exchange.request.path), body),
    stored=_azure_stored,
)


# Google Cloud Storage.


def gcs_listing(rows: Rows, mark: str = "") -> bytes:
    items = [{"name": whole_key(name), "size": size, "generation": "1"} for name, size in rows]
    return json.dumps({"items": items, **({"nextPageToken": mark} if mark else {})}).encode()


def _gcs_object(name: str, content: bytes) -> dict[str, Any]:
    md5 = b64encode(_md5(content)).decode()
    key = PREFIX + name
    return {"name": key, "size": str(len(content)), "md5Hash": md5, "generation": "1"}


def _gcs_stored(name: str, content: bytes) -> Behaviour:
    return says(200, json.dumps(_gcs_object(name, content)).encode())


def _two_parts(exchange: Exchange, body: bytes) -> tuple[str, bytes]:
    """Take the body of an upload apart."""
    boundary = exchange.request.headers["Content-Type"].partition("boundary=")[2].encode()
    _, described, content, _ = body.split(b"--" + boundary)
    key = json.loads(described.partition(b"\r\n\r\n")[2])["name"]
    return key.removeprefix(PREFIX), content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


class GcsStore(MemoryStore):
    """A bucket, by the JSON API."""

    def settings(self) -> dict[str, object]:
        return {
            "type": "gcs",
            "name": self.name,
            "bucket": BUCKET,
            "prefix": PREFIX,
            "endpoint": self.address,
            "anonymous": True,
            "timeout": "2s",
            "max_objects": MOST,
        }

    def honest(self, exchange: Exchange) -> None:
        request, body, held = exchange.request, exchange.body(), self.files
        name = unquote(request.path).partition(f"/{BUCKET}/o/")[2].removeprefix(PREFIX)
        if request.method == "POST":
            name, content = _two_parts(exchange, body)
            self.plant({name: content})
            _gcs_stored(name, content)(exchange)
        elif _lists_objects(request):
            says(200, gcs_listing((key, len(value)) for key, value in held.items()))(exchange)
        elif request.method == "DELETE":
            says(204 if self.remove(name) else 404, b"")(exchange)
        elif name not in held:
            says(404, b"{}")(exchange)
        elif request.query.get("alt") == ["media"]:
            says(200, held[name], ("x-goog-generation", "1"))(exchange)
        else:
            _gcs_stored(name, held[name])(exchange)


def _lists_objects(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith("/o")


GCS = Dialect(
    "gcs",
    lists=_lists_objects,
    puts=asked("POST"),
    reads=asked("GET", ".snap.json", "alt"),
    deletes=asked("DELETE"),
    listing=gcs_listing,
    error=b'{"error": {"code": 500, "message": "no", "errors": [{"reason": "internalError"}]}}',
    name_of=_two_parts,
    stored=_gcs_stored,
)


def _described(**lies: Any) -> Behaviour:
    """Store nothing, and describe what was stored by lies."""
    return says(200, json.dumps({"name": f"{PREFIX}x", "size": "1", **lies}).encode())


# Swift.


def swift_listing(rows: Rows, mark: str = "") -> bytes:
    date = "2026-11-26T03:00:00.000000"
    items = [{"name": whole_key(name), "bytes": size, "last_modified": date} for name, size in rows]
    return json.dumps([*items, *([{"subdir": mark}] if mark else [])]).encode()


def _swift_stored(_name: str, content: bytes) -> Behaviour:
    return says(201, b"", ("ETag", _md5(content).hex()))


class SwiftStore(MemoryStore):
    """A container; what it is made of lies in segments only where it is large."""

    def settings(self) -> dict[str, object]:
        return {
            "type": "swift",
            "name": self.name,
            "container": BUCKET,
            "prefix": PREFIX,
            "storage_url": f"{self.address}/v1/AUTH_a",
            "auth_token": SWIFT_TOKEN,
            "timeout": "2s",
            "max_objects": MOST,
        }

    def honest(self, exchange: Exchange) -> None:
        request, name = exchange.request, _name_in(exchange.request.path)
        body, held = exchange.body(), self.files
        if _lists_container(request):
            last = request.query.get("marker", [""])[0].removeprefix(PREFIX)
            asked_for = request.query["prefix"][0]
            rows = [(key, len(value)) for key, value in sorted(held.items()) if key > last]
            wanted = [row for row in rows if (PREFIX + row[0]).startswith(asked_for)]
            says(200, swift_listing(wanted))(exchange)
        elif request.method == "PUT":
            self.plant({name: body})
            _swift_stored(name, body)(exchange)
        elif request.method == "DELETE":
            says(204 if self.remove(name) else 404, b"")(exchange)
        else:
            says(200 if name in held else 404, held.get(name, b""))(exchange)


def _lists_container(request: Request) -> bool:
    return request.method == "GET" and request.query.get("format") == ["json"]


SWIFT = Dialect(
    "swift",
    lists=_lists_container,
    puts=asked("PUT"),
    reads=asked("GET", ".snap.json"),
    deletes=asked("DELETE"),
    listing=swift_listing,
    error=b'{"error": {"code": 500, "title": "no"}}',
    name_of=lambda exchange, body: (_name_in(exchange.request.path), body),
    stored=_swift_stored,
)


def _naming_segments_of_others(store: MemoryStore, _: str) -> list[Any]:
    """Say of every object that it is made of the good snapshots: whoever removes it removes those."""

    def claims(exchange: Exchange) -> None:
        name = _name_in(exchange.request.path)
        content = store.files.get(name, b"")
        headers = [("X-Static-Large-Object", "True")]
        says(200, content, *headers)(exchange)

    def lists(exchange: Exchange) -> None:
        names = [{"name": f"/{BUCKET}/{PREFIX}{name}"} for name in store.files]
        says(200, json.dumps(names).encode())(exchange)

    return [(asked("GET", "", "multipart-manifest"), lists), (asked("HEAD"), claims)]


STORES: dict[str, type[MemoryStore]] = {
    "azure": AzureStore,
    "gcs": GcsStore,
    "swift": SwiftStore,
}
LIES: dict[str, Lie] = {
    **wire_lies(AZURE),
    "azure lists with entities": Lie(simply(_lists_blobs, says(200, ENTITIES.encode())), EITHER),
    "azure lists with entities in UTF-16": Lie(
        simply(_lists_blobs, says(200, ENTITIES.encode("utf-16"))), EITHER
    ),
    "azure nests a listing": Lie(simply(_lists_blobs, says(200, DEEP)), EITHER),
    "azure names an error in control characters": Lie(
        simply(asked("PUT"), says(400, b"", ("x-ms-error-code", SHOUT.encode().hex() * 90)))
    ),
    "azure tells no ETag": Lie(simply(asked("PUT"), says(201, b"")), EITHER),
    "azure says that the blocks are gone": Lie(
        simply(asked("PUT"), says(400, b"<Error><Code>InvalidBlockList</Code></Error>"))
    ),
    **wire_lies(GCS),
    "gcs describes a size below zero": Lie(simply(asked("POST"), _described(size="-1")), (FAILED,)),
    "gcs describes a size beyond all": Lie(
        simply(asked("POST"), _described(size="9" * 5000)), (FAILED,)
    ),
    "gcs describes a number": Lie(simply(asked("POST"), says(200, b"7")), (FAILED,)),
    "gcs dates nonsensically": Lie(
        simply(asked("POST"), _described(size="x", updated=SHOUT)), (FAILED,)
    ),
    **wire_lies(SWIFT),
    "swift lists a number": Lie(simply(_lists_container, says(200, b"[7]")), EITHER),
    "swift names others' objects as segments": Lie(_naming_segments_of_others, (STORED,)),
}
