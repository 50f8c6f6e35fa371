"""Collects the pages of a listing, and detects one that does not end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from raft_snapshot_agent.storage.limits import ListTooLong, too_many

T = TypeVar("T")

PAGE = 1000
"""Objects per page, if the store lets the client choose: the most that S3 returns."""
PAGE_BYTES = 8 << 20
"""Most bytes of one page: 1,000 names of the greatest length, escaped."""
LIST_BYTES = 16 << 20
"""Most bytes of an answer with a whole listing."""
_DIGITS = 19
_MOST_IDLE = 10
"""Consecutive pages without new objects; some stores send an empty page now and then."""


class PagedList(Generic[T]):
    """The pages of one listing so far."""

    def __init__(self, doing: str, most: int) -> None:
        """Start without pages.

        Arguments:
            doing: Start of the error message.
            most: Most objects and folders.
        """
        self._doing = doing
        self._most = most
        self._taken = 0
        self._last: set[str] = set()
        self._idle = 0

    def page(self, items: Iterable[tuple[str, T | None]]) -> list[T]:
        """Add a page: each name with its object (`None` for a folder).

        Only the names of the previous page are kept, to save memory.

        Returns:
            The objects that the previous page did not have.

        Raises:
            ListTooLong: The listing does not end, or exceeds the limit.
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
    """Parse the size of an object.

    Raises:
        ValueError: It is not a size.
    """
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS):
        raise ValueError(f"it gives {text[:20]!r} as a size")
    return int(text)
