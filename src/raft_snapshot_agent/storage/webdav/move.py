"""Replaces a file by another on servers whose MOVE never overwrites."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.body import cleanup
from raft_snapshot_agent.storage.leftovers import fresh_partial

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MOVED = {201, 204}
"""RFC 4918, section 9.9.4. What is not WebDAV, such as a page for a login, answers 200."""
_NOT_OVER = {403, 405, 409, 412, 500, 501, 502}
"""Statuses with which such servers refuse."""

Move = Callable[[str, str], "BaseHTTPResponse"]
"""Moves a file of the folder to another name in it."""


def replace(
    move: Move,
    delete: Callable[[str], None],
    refused: Callable[[BaseHTTPResponse], StorageError],
    hidden: str,
    name: str,
) -> None:
    """Move a hidden file over an existing one; if that fails, move the existing one aside first.

    Then for a moment no file has the name. The old file is moved back if the second move fails.

    Raises:
        StorageError: The file could not be moved; the old file still has the name.
    """
    answer = move(hidden, name)
    if answer.status in MOVED:
        return
    error, aside = refused(answer), fresh_partial(name)
    # This also shows that the server supports MOVE, before the old file is touched further.
    if answer.status not in _NOT_OVER or move(name, aside).status not in MOVED:
        raise error
    try:
        _require(move(hidden, name), refused)
    except BaseException:
        with cleanup():
            move(aside, name)
        raise
    with suppress(StorageError):  # a sweep removes it later
        delete(aside)


def _require(answer: BaseHTTPResponse, refused: Callable[[BaseHTTPResponse], StorageError]) -> None:
    if answer.status not in MOVED:
        raise refused(answer)
