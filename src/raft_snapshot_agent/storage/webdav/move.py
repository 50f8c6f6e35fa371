"""Gives a file a name, also on servers whose MOVE never overwrites."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.body import cleanup
from raft_snapshot_agent.storage.leftovers import fresh_partial

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MOVED = {201, 204}
"""RFC 4918, section 9.9.4. What is not WebDAV, such as a page for a login, answers 200."""
_NOT_OVER = {403, 405, 409, 412, 500, 501, 502}
"""Statuses with which servers refuse to overwrite."""


class Move(Protocol):
    """Moves a file of the folder to another name in it."""

    def __call__(self, old: str, new: str, overwrite: str = "F") -> BaseHTTPResponse: ...


def replace(
    move: Move,
    is_file: Callable[[str], bool],
    delete: Callable[[str], None],
    refused: Callable[[BaseHTTPResponse], StorageError],
    hidden: str,
    name: str,
) -> None:
    """Move a hidden file to a name, over a file that has it, but never over a folder.

    A move that may overwrite deletes a folder with all that is in it (RFC 4918, section 9.9.3), so
    it is sent only where a file was seen. If it fails, the file is moved aside first. Then for a
    moment no file has the name, and the old file is moved back if the second move fails.

    Arguments:
        move: Sends a MOVE; with the header `Overwrite: T` if it says so.
        is_file: Returns whether a file has a name; raises `StorageError` if a folder has it.
        delete: Deletes a file.
        refused: Converts an answer to an error.
        hidden: Name of the file.
        name: The name it gets.

    Raises:
        StorageError: The file could not be moved; what had the name still has it.
    """
    answer = move(hidden, name)
    if answer.status in MOVED:
        return
    if answer.status not in _NOT_OVER or not is_file(name):
        raise refused(answer)
    answer = move(hidden, name, "T")
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
