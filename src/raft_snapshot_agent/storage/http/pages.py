"""What a store lists, page by page: it has an end, and each page brings something new."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from raft_snapshot_agent.storage.limits import ListTooLong, too_many

T = TypeVar("T")

PAGE = 500
"""Objects of a page, where the store lets us say."""
PAGE_BYTES = 4 << 20
"""Of an answer with one page: 500 names as long and as odd as names can be."""
LIST_BYTES = 16 << 20
"""Of an answer with a whole list."""
_DIGITS = 19
_MOST_IDLE = 10
"""Pages in a row that bring nothing new; some stores send an empty one now and then."""


class PagedList(Generic[T]):
    """The pages of one list so far."""

    def __init__(self, doing: str, most: int) -> None:
        """Begin.

        Arguments:
            doing: What fails if this does.
            most: Objects and folders that are taken.
        """
        self._doing = doing
        self._most = most
        self._taken = 0
        self._last: set[str] = set()
        self._idle = 0

    def page(self, items: Iterable[tuple[str, T | None]]) -> list[T]:
        """Take a page: each name, and the object, or nothing for a folder.

        Only the names of the page before are kept: a list is as large as what is made of it.

        Returns:
            The objects that the page before did not have.

        Raises:
            ListTooLong: The list has no end, or is longer than is taken.
        """
        new = {name: item for name, item in items if name not in self._last}
        self._taken += len(new)
        if self._taken > self._most:
            raise too_many(self._doing, self._most)
        self._idle = 0 if new else self._idle + 1
        if self._idle > _MOST_IDLE:
            why = f"{self._doing}: the pages of the list do not come to an end"
            raise ListTooLong(why, hint="look at the store, and at what is in front of it")
        if new:
            self._last = set(new)
        return [item for item in new.values() if item is not None]


def size_of(text: str) -> int:
    """Read the size of an object.

    Raises:
        ValueError: It is none.
    """
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise ValueError(f"it gives {text[:20]!r} as a size")
    return int(text)
