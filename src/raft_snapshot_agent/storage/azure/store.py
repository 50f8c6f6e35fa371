"""Azure's Blob service: where a blob is, how a request is signed, and what a refusal means.

Source: the reference of the Blob service's REST API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.error_text import Said, read_document
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.storage.azure.account import AzureAccount
from raft_snapshot_agent.storage.azure.signing import AzureIdentity, Unsigned
from raft_snapshot_agent.storage.http.answers import describe_redirect
from raft_snapshot_agent.storage.http.bucket_client import (
    BucketClient,
    BucketRequest,
    Buffer,
    Payload,
)
from raft_snapshot_agent.storage.limits import MOST_OBJECTS
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_VERSION = "2023-11-03"
_CODE = "x-ms-error-code"
_MOST_OF_A_CODE = 64
_ABSENT = frozenset({"BlobNotFound", ""})
_ELSEWHERE = frozenset({"BlobAlreadyExists", "ConditionNotMet", *_ABSENT})


@dataclass(frozen=True, slots=True)
class AzureContainer:
    """Where a container is."""

    account: AzureAccount
    name: str
    timeout: timedelta
    max_objects: int = MOST_OBJECTS

    @property
    def url(self) -> str:
        return f"{self.account.endpoint}/{self.name}"

    def shown(self, key: str) -> str:
        """Say where a blob lies, as an operator would write it."""
        return f"az://{self.name}/{key}"


@dataclass(frozen=True, slots=True)
class AzureStore:
    """One container, and who asks."""

    container: AzureContainer
    identity: AzureIdentity
    hints: Hints
    access_tier: str | None = None

    @property
    def endpoint(self) -> str:
        return self.container.account.endpoint

    @property
    def timeout(self) -> timedelta:
        return self.container.timeout

    @property
    def max_objects(self) -> int:
        return self.container.max_objects

    @property
    def address_hint(self) -> str:
        return self.hints.address

    @property
    def reading(self) -> Mapping[str, str]:
        return {}

    @property
    def removing(self) -> Mapping[str, str]:
        """Ask for what Azure calls a blob's snapshots to go with it."""
        return {"x-ms-delete-snapshots": "include"}

    def of_new(self, *, plain: bool) -> dict[str, str]:
        """Return the headers of a new blob; `plain`: in no tier of its own.

        What lies beside a snapshot is read by every command: it stays where that costs least.
        """
        return {} if plain or not self.access_tier else {"x-ms-access-tier": self.access_tier}

    def storing(self, key: str, content: Buffer, *, plain: bool) -> BucketRequest:
        headers = {"x-ms-blob-type": "BlockBlob", **self.of_new(plain=plain)}
        return BucketRequest("PUT", key, headers=headers, payload=payload_of([content]))

    def sign(self, doing: str, request: BucketRequest) -> tuple[str, dict[str, str]]:
        place = self.container.url
        url = f"{place}/{quote(request.key)}" if request.key else place
        headers = {
            **request.headers,
            "x-ms-version": _VERSION,
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
        }
        if request.payload.digest:
            headers["content-md5"] = request.payload.base64
        unsigned = Unsigned(request.method, url, request.query, headers)
        headers |= self.identity.headers(doing, unsigned)
        query = urlencode({**request.query, **self.identity.query}, quote_via=quote)
        return f"{url}?{query}" if query else url, headers

    def forget(self) -> bool:
        return self.identity.forget()

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        said = _said_by(answer)
        if 300 <= answer.status < 400 and not said.code:
            return StorageError(describe_redirect(doing, answer), hint=self.hints.address)
        return refusal_of(doing, answer.status, said, self.hints)

    def is_absent(self, answer: BaseHTTPResponse) -> bool:
        return _said_by(answer).code in _ABSENT

    def is_elsewhere(self, answer: BaseHTTPResponse) -> bool:
        return _said_by(answer).code in _ELSEWHERE


AzureClient = BucketClient[AzureStore]


def payload_of(pieces: Iterable[Buffer]) -> Payload:
    """Make a body, with the MD5 by which the store checks that it arrived unchanged."""
    return Payload.of(pieces, hashlib.md5(usedforsecurity=False))


def _said_by(answer: BaseHTTPResponse) -> Said:
    """Read a refusal; to a request whose answer has no body, the code stands in a header."""
    said = read_document(answer.data.decode(errors="replace"))
    return said if said.code else Said(one_line(answer.headers.get(_CODE, ""), _MOST_OF_A_CODE))
