"""What lies in a bucket, page by page; the object store library takes all pages at once.

It also gives up at keys that it has no form for, such as `p//x`, and with that hides all others.
Whoever signs with keys that only the library can find has to do with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import Entry
from raft_snapshot_agent.storage.http.http import Http, TlsOptions
from raft_snapshot_agent.storage.http.pages import PAGE, PAGE_BYTES, Listing, size_of
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.objectstore.errors import BARE_REDIRECT, Hints, refusal
from raft_snapshot_agent.storage.s3.multipart import sign

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
    from raft_snapshot_agent.storage.s3.bucket import S3Bucket

_TEXTS = ("IsTruncated", "NextContinuationToken", "EncodingType")
_PARTS = frozenset({"Contents", "CommonPrefixes", *_TEXTS})


def list_bucket(
    doing: str, bucket: S3Bucket, keys: AwsCredentials, prefix: str, hints: Hints
) -> list[Entry]:
    """List the objects directly below a prefix.

    Raises:
        StorageError: That is not allowed, failed, or has no end.

    Source: `ListObjectsV2` of the S3 API.
    """
    http = Http(bucket.timeout, TlsOptions(bucket.ca_file, bucket.skip_verify), bucket.proxy)
    query = {
        "list-type": "2",
        "prefix": prefix,
        "delimiter": "/",
        "max-keys": str(PAGE),
        "encoding-type": "url",
    }
    listing, found = Listing[Entry](doing, bucket.max_objects), list[Entry]()
    while True:
        url = f"{bucket.url}{'' if bucket.path else '/'}?{_encoded(query)}"
        headers = sign("GET", url, bucket.region, keys, datetime.now(UTC))
        answer = http.ask(doing, "GET", url, headers, most=PAGE_BYTES)
        if answer.status != 200:
            if answer.status in {301, 307} and not answer.headers.get("location"):
                hint = f"likely the bucket lies in another region: {hints.address}"
                raise StorageError(f"{doing}: the store answers with a {BARE_REDIRECT}", hint=hint)
            raise refusal(doing, answer.status, answer.data.decode(errors="replace"), hints)
        try:
            texts, items = _page(answer.data, prefix)
        except ValueError as error:
            why = f"{doing}: the store's list makes no sense: {error}"
            raise StorageError(why, hint=hints.address) from error
        found += listing.page(items)
        if texts.get("IsTruncated") != "true":
            return found
        query["continuation-token"] = texts.get("NextContinuationToken", "")


def _page(document: bytes, prefix: str) -> tuple[dict[str, str], list[tuple[str, Entry | None]]]:
    texts: dict[str, str] = {}
    listed: list[tuple[str, int | None]] = []
    for part in parts(document, _PARTS):
        kind = part.tag.rpartition("}")[2]
        if kind in _TEXTS:
            texts[kind] = part.text or ""
        elif kind == "Contents":
            listed.append((part.findtext("{*}Key", ""), size_of(part.findtext("{*}Size", ""))))
        else:
            listed.append((part.findtext("{*}Prefix", ""), None))
    return texts, list(_entries(listed, prefix, encoded=texts.get("EncodingType") == "url"))


def _entries(
    listed: list[tuple[str, int | None]], prefix: str, *, encoded: bool
) -> Iterator[tuple[str, Entry | None]]:
    for said, size in listed:
        key = unquote(said.replace("+", " ")) if encoded else said
        name = key.removeprefix(prefix)
        # The folder's own placeholder is not below it.
        is_ours = size is not None and name != "" and key.startswith(prefix)
        yield key, Entry(name, size) if is_ours and size is not None else None


def _encoded(query: dict[str, str]) -> str:
    return urlencode(sorted(query.items()), quote_via=quote, safe="")
