"""Addresses that neither take connections nor refuse them, and names that have several."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """Let connections to an address wait for ever, as some firewalls and missing routes do."""
    with ExitStack() as stack:
        stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(2):  # what the queue holds
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield


def give_addresses(monkeypatch: pytest.MonkeyPatch, name: str, addresses: Sequence[str]) -> None:
    """Let a name have addresses, which are read at each look-up."""
    look_up = socket.getaddrinfo

    def know(host: Any, *args: Any, **named: Any) -> Any:
        if host not in {name, name.encode()}:
            return look_up(host, *args, **named)
        return [one for each in addresses for one in look_up(each, *args, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", know)
