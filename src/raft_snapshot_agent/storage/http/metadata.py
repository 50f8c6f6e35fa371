"""Asks the metadata service of a cloud, which on most hosts does not exist."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from raft_snapshot_agent.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.http.http import Http

T = TypeVar("T")

_CONNECT = 2.0
"""The service is on this host or next to it."""
_ANSWER = 10.0
"""It may have to request the token from another service."""
_MEMORY = 20.0
"""Seconds in which a service that failed is not asked again: the rest of most runs."""
_LATER = "it may not be ready yet; check the metadata service of this instance"


@dataclass(frozen=True, slots=True)
class _Failure:
    address: str
    at: float
    why: str
    error: StorageError


class MetadataService:
    """The metadata service of this host, which may not exist; thread-safe.

    One object is for all storages, so that a service that does not answer is waited for once.
    """

    def __init__(
        self,
        is_here: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            is_here: Returns whether this host is known to have it, so that a failure may pass.
            clock: Seconds of a monotonic clock.
        """
        self._is_here = is_here
        self._clock = clock
        self._lock = Lock()
        self._failed: _Failure | None = None

    def ask(self, doing: str, address: str, request: Callable[[], T]) -> T:
        """Make a request, unless one to this address has just failed.

        Arguments:
            doing: Start of the error message.
            address: Address of the service.
            request: Makes the request; its errors start with `doing`.

        Raises:
            StorageUnavailable: The host has the service, but it did not answer.
            StorageError: It failed, now or before.
        """
        if self._is_here():
            return _ask_present(request)
        with self._lock:
            failed = self._failed
            if failed and failed.address == address and self._clock() - failed.at <= _MEMORY:
                raise type(failed.error)(f"{doing}: {failed.why}", hint=failed.error.hint)
            try:
                return request()
            except StorageError as error:
                why = error.message.removeprefix(f"{doing}: ")
                self._failed = _Failure(address, self._clock(), why, error)
                raise


def _ask_present(request: Callable[[], T]) -> T:
    try:
        return request()
    except StorageUnavailable as error:
        # A failure of a proxy is not one of the service.
        hint = error.hint if "proxy" in error.message.lower() else _LATER
        raise StorageUnavailable(error.message, hint=hint) from None


def briefly(http: Http) -> Http:
    """Return a client with the time limits for such a service."""
    return http.limited(connect=_CONNECT, seconds=_ANSWER)
