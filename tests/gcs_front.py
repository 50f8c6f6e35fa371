"""The half of Google's XML API that fake-gcs-server lacks: uploads, whole and in parts."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

import urllib3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, pass_through

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN = "a-token-from-elsewhere"


@dataclass(slots=True)
class Upload:
    """One that was begun and neither completed nor aborted."""

    bucket: str
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


class GcsFront(HttpProxy):
    """Takes uploads, and passes everything else on to fake-gcs-server.

    Requests must carry `TOKEN` or be signed with `key`, unless `guarded` is false.

    Source: Google's "XML API multipart uploads" and "HTTP status and error codes for XML".
    """

    def __init__(self, upstream: str, key: RSAPublicKey, pool: urllib3.PoolManager) -> None:
        self.buckets: set[str] = set()
        self.guarded = True
        self._key = key
        self._pool = pool
        self._upstream_url = upstream
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        super().__init__(upstream, self._choose)

    def pending(self, bucket: str) -> list[str]:
        """List what was begun in a bucket and is not visible."""
        with self._lock:
            return [one.key for one in self._uploads.values() if one.bucket == bucket]

    def _choose(self, request: Request) -> Behaviour:
        if self.guarded and not self._knows(request.headers.get("Authorization", "")):
            return error(401, "AuthenticationRequired", "Authentication required.")
        bucket = unquote(request.path.split("/")[1])
        if bucket not in self.buckets:
            return error(404, "NoSuchBucket", "The specified bucket does not exist.")
        query = request.query
        match request.method, "uploads" in query, "uploadId" in query:
            case "POST", True, _:
                return self._begin
            case "PUT", _, True:
                return self._part
            case "POST", _, True:
                return self._complete
            case "DELETE", _, True:
                return self._abort
            case "PUT", _, _:
                return self._whole
            case _:
                # It tells a bucket's path from a bucket's host by this.
                request.headers.replace_header("Host", self.upstream.netloc)
                return pass_through

    def _knows(self, authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        if token == TOKEN:
            return True
        signed, _, signature = token.rpartition(".")
        try:
            self._key.verify(_decoded(signature), signed.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        claims = json.loads(_decoded(signed.partition(".")[2]))
        return bool(claims["scope"] == _SCOPE and claims["iss"] == claims["sub"])

    def _begin(self, exchange: Exchange) -> None:
        _, bucket, key = map(unquote, exchange.request.path.split("/", 2))
        name = secrets.token_hex(8)
        with self._lock:
            self._uploads[name] = Upload(bucket, key)
        _answer(exchange, _document("InitiateMultipartUploadResult", UploadId=name))

    def _part(self, exchange: Exchange) -> None:
        query, content = exchange.request.query, exchange.body()
        with self._lock:
            upload = self._uploads.get(query["uploadId"][0])
            if upload is not None:
                upload.parts[int(query["partNumber"][0])] = content
        if upload is None:
            _NO_UPLOAD(exchange)
        else:
            _answer(exchange, b"")

    def _complete(self, exchange: Exchange) -> None:
        listed = ET.fromstring(exchange.body()).iterfind("{*}Part/{*}PartNumber")
        upload = self._taken(exchange)
        if upload is None:
            _NO_UPLOAD(exchange)
            return
        content = b"".join(upload.parts[int(number.text or "")] for number in listed)
        self._store(upload.bucket, upload.key, content)
        _answer(exchange, _document("CompleteMultipartUploadResult", ETag='"x"'))

    def _abort(self, exchange: Exchange) -> None:
        if self._taken(exchange) is None:
            _NO_UPLOAD(exchange)
        else:
            exchange.answer(204, [], b"")

    def _taken(self, exchange: Exchange) -> Upload | None:
        with self._lock:
            return self._uploads.pop(exchange.request.query["uploadId"][0], None)

    def _whole(self, exchange: Exchange) -> None:
        _, bucket, key = map(unquote, exchange.request.path.split("/", 2))
        expected = exchange.request.headers.get("x-goog-if-generation-match")
        with self._lock:  # fake-gcs-server knows no condition on such an upload
            if expected not in (None, self._generation(bucket, key)):
                _CONFLICT(exchange)
                return
            stored = self._store(bucket, key, exchange.body())
        headers = [("ETag", f'"{stored["md5Hash"]}"'), ("x-goog-generation", stored["generation"])]
        exchange.answer(200, [*headers, ("Content-Length", "0")], b"")

    def _generation(self, bucket: str, key: str) -> str:
        url = f"{self._upstream_url}/storage/v1/b/{bucket}/o/{quote(key, safe='')}"
        answer = self._pool.request("GET", url)
        return "0" if answer.status == 404 else str(answer.json()["generation"])

    def _store(self, bucket: str, key: str, content: bytes) -> dict[str, str]:
        to = f"{self._upstream_url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
        answer = self._pool.request("POST", to + quote(key, safe=""), body=content)
        assert answer.status == 200, answer.data
        found: dict[str, str] = answer.json()
        return found


def error(code: int, word: str, message: str) -> Callable[[Exchange], None]:
    """Refuse as Google does."""
    body = _document("Error", Code=word, Message=message)
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return lambda exchange: exchange.answer(code, headers, body)


def _answer(exchange: Exchange, body: bytes) -> None:
    exchange.answer(200, [("ETag", '"x"'), ("Content-Length", str(len(body)))], body)


def _document(name: str, **fields: str) -> bytes:
    root = ET.Element(name)
    for key, value in fields.items():
        ET.SubElement(root, key).text = value
    return ET.tostring(root)


_CONFLICT = error(412, "PreconditionFailed", "At least one of the conditions did not hold.")
_NO_UPLOAD = error(404, "NoSuchUpload", "The upload was completed or aborted.")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
