"""What a store lists, page by page."""

from __future__ import annotations

import pytest

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.pages import PagedList


def _page(*numbers: int) -> list[tuple[str, int | None]]:
    return [(f"one-{number}", number) for number in numbers]


def _take(listing: PagedList[int], pages: list[int]) -> None:
    """Take pages of one object each."""
    for number in pages:
        listing.page(_page(number))


def test_what_the_page_before_had_is_not_taken_again() -> None:
    listing = PagedList[int]("cannot list", 100)
    assert listing.page(_page(1, 2)) == [1, 2]
    assert listing.page(_page(2, 3, 3)) == [3]
    assert listing.page([("folder/", None), *_page(4)]) == [4]


def test_a_page_that_comes_again_and_again_is_no_list() -> None:
    listing = PagedList[int]("cannot list", 100)
    with pytest.raises(StorageError, match="cannot list: the pages of the list do not come to"):
        _take(listing, [1] * 20)


def test_pages_in_turn_come_to_an_end() -> None:
    listing = PagedList[int]("cannot list", 100)
    with pytest.raises(StorageError, match="there are more than 100 objects") as refused:
        _take(listing, [0, 1] * 100)
    assert "max_objects" in refused.value.hint


def test_a_list_as_long_as_is_taken_is_taken() -> None:
    listing = PagedList[int]("cannot list", 100)
    assert len(listing.page(_page(*range(100)))) == 100
    assert listing.page([]) == []
    with pytest.raises(StorageError, match="more than 100"):
        listing.page(_page(100))
