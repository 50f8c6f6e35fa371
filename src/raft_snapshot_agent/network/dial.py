"""Connects to the first address of a host that answers."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, zip_longest
from time import monotonic
from typing import Any

from raft_snapshot_agent.host_limits import find_limit

_HEAD_START = 0.25
"""Seconds after which the next address is tried as well. Source: RFC 8305, section 8."""

Options = Iterable[tuple[Any, ...]]
"""Arguments of `setsockopt`."""


def dial(host: str, port: int, seconds: float, options: Options = ()) -> socket.socket:
    """Open a TCP connection; an address that does not answer delays it by a quarter of a second.

    Arguments:
        host: Name or address.
        port: TCP port.
        seconds: Time limit for all addresses together, after the name was looked up.
        options: Set on each socket before it connects.

    Returns:
        The connection, which blocks for at most `seconds` at a time.

    Raises:
        OSError: The name is unknown, or no address could be connected to.

    Source: RFC 8305 (Happy Eyeballs), of which only the lookup is not done concurrently.
    """
    addresses = alternate(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    made = _Race(addresses, options).run(monotonic() + seconds)
    made.settimeout(seconds)
    return made


class _Race:
    """Attempts to connect, of which the first to succeed wins."""

    def __init__(self, addresses: list[tuple[Any, ...]], options: Options) -> None:
        self._left = addresses
        self._options = list(options)
        self._under_way: dict[int, socket.socket] = {}
        # Unlike other selectors it needs no file of its own, of which there may be few.
        self._poll = select.poll()
        self._errors: list[OSError] = []

    def run(self, until: float) -> socket.socket:
        """Return the first connection, and close all others."""
        winner: socket.socket | None = None
        try:
            while winner is None and (self._left or self._under_way):
                if self._left:
                    self._begin(*self._left.pop(0))
                winner = self._wait(min(until, monotonic() + _HEAD_START) if self._left else until)
                if winner is None and monotonic() >= until:
                    self._errors.append(_error(errno.ETIMEDOUT))
                    break
            if winner is None:
                raise min(self._errors or [_error(errno.EHOSTUNREACH)], key=_rank)
            return winner
        finally:
            for one in self._under_way.values():
                if one is not winner:
                    one.close()

    def _begin(self, family: int, kind: int, protocol: int, _: str, address: Any) -> None:
        attempt: socket.socket | None = None
        try:
            attempt = socket.socket(family, kind, protocol)
            for option in self._options:
                attempt.setsockopt(*option)
            attempt.setblocking(False)
            with suppress(BlockingIOError):
                attempt.connect(address)
        except OSError as error:
            self._errors.append(error)
            if attempt is not None:
                attempt.close()
            return
        self._under_way[attempt.fileno()] = attempt
        self._poll.register(attempt, select.POLLOUT)

    def _wait(self, until: float) -> socket.socket | None:
        """Return a connection, or nothing once it is time for the next attempt."""
        while self._under_way and (left := until - monotonic()) > 0:
            for number, _ in self._poll.poll(left * 1000):
                attempt = self._under_way[number]
                failed = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not failed:
                    return attempt
                self._errors.append(_error(failed))
                self._poll.unregister(number)
                self._under_way.pop(number).close()
                return None
        return None


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _rank(error: OSError) -> int:
    """Rank errors by what they tell: a limit of this host, then a refusal, then the first."""
    if find_limit(error):
        return 0
    return 1 if isinstance(error, ConnectionRefusedError) else 2


def alternate(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Alternate between IPv6 and IPv4, beginning with the family that the system prefers."""
    families = dict.fromkeys(one[0] for one in found)
    turns: Iterator[Any] = chain.from_iterable(
        zip_longest(*([one for one in found if one[0] == family] for family in families))
    )
    return [one for one in turns if one is not None]
