"""Lists a container page by page; accepts names of any form, such as `p//x`.

Source: "List Blobs" of the Blob service's REST API.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.azure.client import AzureClient, AzureRequest
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList, size_of
from raft_snapshot_agent.storage.http.xml_parts import parts

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class AzureBlob:
    """One blob as the store lists it."""

    key: str
    size: int
    written: datetime | None
    """Last modification by the store's clock, if reported."""


def list_blobs(client: AzureClient, doing: str, prefix: str) -> Iterator[AzureBlob]:
    """List the blobs directly below a prefix.

    Raises:
        StorageError: Listing is not allowed, failed, or does not end.
    """
    query = {
        "restype": "container",
        "comp": "list",
        "prefix": prefix,
        "delimiter": "/",
        "maxresults": str(PAGE),
    }
    listing = PagedList[AzureBlob](doing, client.container.max_objects)
    while True:
        answer = client.ask(doing, AzureRequest("GET", query=query), most=PAGE_BYTES)
        try:
            items, marker = read_page(answer.data, prefix)
        except ValueError as error:
            why = f"{doing}: the store's list is not valid: {error}"
            raise StorageError(why, hint=client.hints.address) from error
        yield from listing.page(items)
        if not marker:
            return
        query["marker"] = marker


def read_page(document: bytes, prefix: str) -> tuple[list[tuple[str, AzureBlob | None]], str]:
    """Parse a page: each name with its blob (`None` for a folder), and the next page's marker.

    Raises:
        ValueError: It is not a valid page.
    """
    items: list[tuple[str, AzureBlob | None]] = []
    marker = ""
    for part in parts(document, {"Blob", "BlobPrefix", "NextMarker"}):
        if part.tag == "NextMarker":
            marker = part.text or ""
            continue
        key = _name(part)
        # Skip the folder's placeholder object.
        is_ours = part.tag == "Blob" and key.startswith(prefix) and key != prefix
        items.append((key, _blob(part, key) if is_ours else None))
    return items, marker


def _blob(part: ET.Element, key: str) -> AzureBlob:
    size = size_of(part.findtext("Properties/Content-Length", ""))
    try:
        written = parsedate_to_datetime(part.findtext("Properties/Last-Modified", ""))
    except (ValueError, ArithmeticError, TypeError):
        return AzureBlob(key, size, None)
    return AzureBlob(key, size, written if written.tzinfo else None)


def _name(part: ET.Element) -> str:
    found = part.find("Name")
    if found is None:
        return ""
    text = found.text or ""
    return unquote(text) if found.get("Encoded") == "true" else text
