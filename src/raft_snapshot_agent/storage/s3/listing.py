"""Lists a bucket page by page; accepts keys of any form, such as `p//x`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from raft_snapshot_agent.storage.http.listing import Listed, Page, list_pages
from raft_snapshot_agent.storage.http.pages import PAGE, size_of
from raft_snapshot_agent.storage.http.xml_parts import local_name, parts
from raft_snapshot_agent.storage.s3.store import S3Client

_TEXTS = ("IsTruncated", "NextContinuationToken", "EncodingType")
_PARTS = frozenset({"Contents", "CommonPrefixes", *_TEXTS})


def list_objects(client: S3Client, doing: str, prefix: str) -> Iterator[Listed]:
    """List the objects directly below a prefix.

    Raises:
        StorageError: Listing is not allowed, failed, or does not end.

    Source: `ListObjectsV2` of the S3 API.
    """
    query = {
        "list-type": "2",
        "prefix": prefix,
        "delimiter": "/",
        "max-keys": str(PAGE),
        "encoding-type": "url",
    }
    return list_pages(client, doing, query, read_page)


def read_page(document: bytes, prefix: str) -> Page:
    """Read a page.

    Raises:
        ValueError: It is none.
    """
    texts: dict[str, str] = {}
    listed: list[tuple[str, ET.Element]] = []
    for part in parts(document, _PARTS):
        kind = local_name(part)
        if kind in _TEXTS:
            texts[kind] = part.text or ""
        else:
            listed.append((kind, part))
    encoded = texts.get("EncodingType") == "url"
    more = {"continuation-token": texts.get("NextContinuationToken", "")}
    items = [_item(kind, part, prefix, encoded=encoded) for kind, part in listed]
    return Page(items, more if texts.get("IsTruncated") == "true" else None)


def _item(kind: str, part: ET.Element, prefix: str, *, encoded: bool) -> tuple[str, Listed | None]:
    """Read an object, or nothing of a folder; the folder's own placeholder is not below it."""
    is_object, space = kind == "Contents", part.tag.removesuffix(kind)
    said = part.findtext(f"{space}Key" if is_object else f"{space}Prefix", "")
    key = unquote_plus(said) if encoded else said
    if not is_object:
        return key, None
    size = size_of(part.findtext(f"{space}Size", ""))
    is_ours = key.startswith(prefix) and key != prefix
    date = part.findtext(f"{space}LastModified", "")
    return key, Listed(key, size, date) if is_ours else None
