"""How a whole file gets the name of an older one on servers that do not move over a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.leftovers import fresh_partial

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MOVED = {200, 201, 204}
_NOT_OVER = {403, 405, 409, 412, 500, 501, 502}
"""How such servers answer."""

Move = Callable[[str, str], "BaseHTTPResponse"]
"""Moves a file of the folder to another name in it."""


def replace(
    move: Move,
    delete: Callable[[str], None],
    refused: Callable[[BaseHTTPResponse], StorageError],
    hidden: str,
    name: str,
) -> None:
    """Move a hidden file to a name, over what has it; where that fails, with that put aside first.

    For a moment nothing has the name then. What was put aside comes back if the second move fails.

    Raises:
        StorageError: The file could not be moved; what had the name has it still.
    """
    answer = move(hidden, name)
    if answer.status in MOVED:
        return
    error, aside = refused(answer), fresh_partial(name)
    # It also shows that the server moves at all: nothing is given up before that.
    if answer.status not in _NOT_OVER or move(name, aside).status not in MOVED:
        raise error
    try:
        _require(move(hidden, name), refused)
    except BaseException:
        with suppress(StorageError):
            move(aside, name)
        raise
    with suppress(StorageError):  # a sweep finds it again
        delete(aside)


def _require(answer: BaseHTTPResponse, refused: Callable[[BaseHTTPResponse], StorageError]) -> None:
    if answer.status not in MOVED:
        raise refused(answer)
