"""Lists a bucket page by page; accepts keys of any form, such as `p//x`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from raft_snapshot_agent.core.notes import moment
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, PagedList, size_of
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.s3.client import S3Client, S3Request

_TEXTS = ("IsTruncated", "NextContinuationToken", "EncodingType")
_PARTS = frozenset({"Contents", "CommonPrefixes", *_TEXTS})


@dataclass(frozen=True, slots=True)
class S3Object:
    """One object as the store lists it."""

    key: str
    size: int
    written: datetime | None
    """Last modification by the store's clock, if reported."""


def list_objects(client: S3Client, doing: str, prefix: str) -> Iterator[S3Object]:
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
    listing = PagedList[S3Object](doing, client.bucket.max_objects)
    while True:
        answer = client.ask(doing, S3Request("GET", query=query), most=PAGE_BYTES)
        try:
            texts, items = _page(answer.data, prefix)
        except ValueError as error:
            why = f"{doing}: the store's list is not valid: {error}"
            raise StorageError(why, hint=client.hints.address) from error
        yield from listing.page(items)
        if texts.get("IsTruncated") != "true":
            return
        query["continuation-token"] = texts.get("NextContinuationToken", "")


def _page(document: bytes, prefix: str) -> tuple[dict[str, str], list[tuple[str, S3Object | None]]]:
    texts: dict[str, str] = {}
    listed: list[ET.Element] = []
    for part in parts(document, _PARTS):
        kind = part.tag.rpartition("}")[2]
        if kind in _TEXTS:
            texts[kind] = part.text or ""
        else:
            listed.append(part)
    encoded = texts.get("EncodingType") == "url"
    return texts, [_item(part, prefix, encoded=encoded) for part in listed]


def _item(part: ET.Element, prefix: str, *, encoded: bool) -> tuple[str, S3Object | None]:
    """Parse an object; `None` for a folder or the folder's placeholder."""
    said: str = part.findtext("{*}Key", "") or part.findtext("{*}Prefix", "")
    key = unquote(said.replace("+", " ")) if encoded else said
    if part.tag.rpartition("}")[2] != "Contents":
        return key, None
    size = size_of(part.findtext("{*}Size", ""))
    is_ours = key.startswith(prefix) and key != prefix
    written = moment(part.findtext("{*}LastModified", ""))
    return key, S3Object(key, size, written) if is_ours else None
