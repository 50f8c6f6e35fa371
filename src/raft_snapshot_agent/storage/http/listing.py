"""Lists of objects in pages of XML, as S3 and Azure return them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.answers import http_date
from raft_snapshot_agent.storage.http.bucket_client import BucketClient, BucketRequest, S
from raft_snapshot_agent.storage.http.pages import PAGE_BYTES, PagedList


@dataclass(frozen=True, slots=True)
class Listed:
    """One object as the store lists it."""

    key: str
    size: int
    date: str
    """Time of the last write as the store reports it; empty if it does not."""

    @property
    def written(self) -> datetime | None:
        """Time of the last write by the store's clock, if it reports one."""
        return moment(self.date) or http_date(self.date)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    items: Iterable[tuple[str, Listed | None]]
    """Each name with its object, or with `None` for a folder."""
    more: Mapping[str, str] | None
    """Parameters of the request for the next page; `None` after the last."""


def list_pages(
    client: BucketClient[S],
    doing: str,
    query: Mapping[str, str],
    read_page: Callable[[bytes, str], Page],
) -> Iterator[Listed]:
    """List the objects directly below the prefix that `query` contains.

    Raises:
        StorageError: It was refused, failed, or has no end.
    """
    asked, prefix = dict(query), query["prefix"]
    listing = PagedList[Listed](doing, client.store.max_objects)
    while True:
        answer = client.ask(doing, BucketRequest("GET", query=asked), most=PAGE_BYTES)
        try:
            page = read_page(answer.data, prefix)
        except ValueError as error:
            why = f"{doing}: the store's list is not valid: {error}"
            raise StorageError(why, hint=client.store.address_hint) from error
        yield from listing.page(page.items)
        if page.more is None:
            return
        asked |= page.more
