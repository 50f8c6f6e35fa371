"""Lists a container page by page; accepts names of any form, such as `p//x`.

Source: "List Blobs" of the Blob service's REST API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from raft_snapshot_agent.storage.azure.store import AzureClient
from raft_snapshot_agent.storage.http.listing import Listed, Page, list_pages
from raft_snapshot_agent.storage.http.pages import PAGE, size_of
from raft_snapshot_agent.storage.http.xml_parts import parts

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


def list_blobs(client: AzureClient, doing: str, prefix: str) -> Iterator[Listed]:
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
    return list_pages(client, doing, query, read_page)


def read_page(document: bytes, prefix: str) -> Page:
    """Read a page.

    Raises:
        ValueError: It is not a valid page.
    """
    items: list[tuple[str, Listed | None]] = []
    marker = ""
    for part in parts(document, {"Blob", "BlobPrefix", "NextMarker"}):
        if part.tag == "NextMarker":
            marker = part.text or ""
            continue
        key = _name(part)
        # Skip the folder's placeholder object.
        is_ours = part.tag == "Blob" and key.startswith(prefix) and key != prefix
        items.append((key, _blob(part, key) if is_ours else None))
    return Page(items, {"marker": marker} if marker else None)


def _blob(part: ET.Element, key: str) -> Listed:
    size = size_of(part.findtext("Properties/Content-Length", ""))
    return Listed(key, size, part.findtext("Properties/Last-Modified", ""))


def _name(part: ET.Element) -> str:
    found = part.find("Name")
    if found is None:
        return ""
    text = found.text or ""
    return unquote(text) if found.get("Encoded") == "true" else text
