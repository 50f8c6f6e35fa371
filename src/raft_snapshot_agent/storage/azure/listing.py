"""What lies in a container, page by page; the object store library takes all pages at once.

It also gives up at names that it has no form for, such as `p//x`, and with that hides all others.
Where it finds the login by itself, as an identity, it has to do.

Source: "List Blobs" and "Authorize with Shared Key" of the Blob service's REST API.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import Entry
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList, size_of
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from raft_snapshot_agent.storage.http.http import Http

_VERSION = "2023-11-03"
_UNSIGNED = "\n" * 11
"""The headers between verb and `x-ms-` that a request without a body does not have."""


@dataclass(frozen=True, slots=True)
class AzureContainer:
    """A container, and what its requests are signed with."""

    endpoint: str
    account: str
    name: str
    key: str = field(default="", repr=False)
    sas: str = field(default="", repr=False)
    """In place of the key."""

    @property
    def granted(self) -> list[tuple[str, str]]:
        """The parameters of the SAS token."""
        return parse_qsl(self.sas.lstrip("?"))

    @property
    def usable(self) -> bool:
        """Whether requests can be signed with that; what is wrong, the library tells."""
        try:
            return bool(b64decode(self.key, validate=True) or self.granted)
        except ValueError:
            return False


def list_container(
    doing: str, http: Http, container: AzureContainer, prefix: str, hints: Hints, most: int
) -> list[Entry]:
    """List the blobs directly below a prefix.

    Raises:
        StorageError: That is not allowed, failed, or has no end.
    """
    query = {
        "restype": "container",
        "comp": "list",
        "prefix": prefix,
        "delimiter": "/",
        "maxresults": str(PAGE),
    }
    listing, found = PagedList[Entry](doing, most), list[Entry]()
    while True:
        url, headers = _request(container, query)
        answer = http.ask(doing, "GET", url, headers, most=PAGE_BYTES)
        if answer.status != 200:
            raise refusal(doing, answer.status, answer.data.decode(errors="replace"), hints)
        try:
            items, marker = _page(answer.data, prefix)
        except ValueError as error:
            why = f"{doing}: the store's list makes no sense: {error}"
            raise StorageError(why, hint=hints.address) from error
        found += listing.page(items)
        if not marker:
            return found
        query["marker"] = marker


def _request(container: AzureContainer, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    asked = urlencode({**query, **dict(container.granted)}, quote_via=quote)
    url = f"{container.endpoint}/{container.name}?{asked}"
    date = format_datetime(datetime.now(UTC), usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": _VERSION}
    if container.key:
        signature = _signature(container, url, query, headers)
        headers["authorization"] = f"SharedKey {container.account}:{signature}"
    return url, headers


def _signature(
    container: AzureContainer, url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    named = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    asked = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
    text = f"GET\n{_UNSIGNED}{named}/{container.account}{urlsplit(url).path}{asked}"
    key = b64decode(container.key, validate=True)
    return b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


def _page(document: bytes, prefix: str) -> tuple[list[tuple[str, Entry | None]], str]:
    items: list[tuple[str, Entry | None]] = []
    marker = ""
    for part in parts(document, {"Blob", "BlobPrefix", "NextMarker"}):
        if part.tag == "NextMarker":
            marker = part.text or ""
            continue
        key = _name(part)
        # The folder's own placeholder is not below it.
        is_ours = part.tag == "Blob" and key.startswith(prefix) and key != prefix
        size = size_of(part.findtext("Properties/Content-Length", "")) if is_ours else 0
        items.append((key, Entry(key.removeprefix(prefix), size) if is_ours else None))
    return items, marker


def _name(part: ET.Element) -> str:
    found = part.find("Name")
    if found is None:
        return ""
    text = found.text or ""
    return unquote(text) if found.get("Encoded") == "true" else text
