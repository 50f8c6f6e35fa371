"""A host with several addresses is reached if one of them answers."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.deaf import deaf, give_addresses

from raft_snapshot_agent.network import dial as module
from raft_snapshot_agent.network.dial import alternate, dial
from raft_snapshot_agent.servers.process import LOOPBACK, free_ports, release_ports

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the loopback addresses on which nobody listens yet."""
    (free,) = free_ports(1)
    yield free
    release_ports([free])


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of `host`."""
    addresses: list[str] = []
    give_addresses(monkeypatch, "host", addresses)
    return addresses


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the shorter one


def test_an_address_that_is_silent_costs_a_head_start(at: list[str], port: int) -> None:
    at += ["127.0.0.2", "127.0.0.3", LOOPBACK]
    before = open_files()
    with (
        deaf("127.0.0.2", port),
        deaf("127.0.0.3", port),
        socket.create_server((LOOPBACK, port)),
        closing(dial("host", port, 60)) as made,
    ):
        assert made.getpeername() == (LOOPBACK, port)
        assert made.gettimeout() == 60
    assert open_files() == before


def test_an_address_that_refuses_costs_nothing(
    at: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HEAD_START", 600.0)
    at += ["127.0.0.2", LOOPBACK]
    with socket.create_server((LOOPBACK, port)), closing(dial("host", port, 600)) as made:
        assert made.getpeername() == (LOOPBACK, port)


def test_an_address_without_a_route_costs_nothing(
    at: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HEAD_START", 600.0)
    at += ["255.255.255.255", LOOPBACK]  # no address of a host
    with socket.create_server((LOOPBACK, port)), closing(dial("host", port, 600)) as made:
        assert made.getpeername() == (LOOPBACK, port)


def test_the_limit_is_that_of_all_addresses(at: list[str], port: int) -> None:
    at += ["127.0.0.2", "127.0.0.3"]
    with deaf("127.0.0.2", port), deaf("127.0.0.3", port), pytest.raises(TimeoutError):
        dial("host", port, 0.5)


def test_the_reason_is_told_where_no_address_answers(at: list[str], port: int) -> None:
    at += ["127.0.0.2", LOOPBACK]
    before = open_files()
    with pytest.raises(ConnectionRefusedError) as told:
        dial("host", port, 60)
    assert told.value.errno == errno.ECONNREFUSED
    assert open_files() == before


def test_a_refusal_tells_more_than_silence(at: list[str], port: int) -> None:
    """A broken IPv6 network beside a server that is stopped."""
    at += [LOOPBACK, "127.0.0.2"]
    with deaf("127.0.0.2", port), pytest.raises(ConnectionRefusedError):
        dial("host", port, 0.5)


def test_a_limit_of_this_host_tells_most(
    at: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at += ["127.0.0.2", LOOPBACK]
    make, numbers = socket.socket, iter([errno.EMFILE])

    def scarce(*args: Any, **named: Any) -> socket.socket:
        if number := next(numbers, None):
            raise OSError(number, os.strerror(number))
        return make(*args, **named)

    monkeypatch.setattr(socket, "socket", scarce)
    with pytest.raises(OSError, match="Too many open files"):
        dial("host", port, 60)


def test_a_name_without_an_address_is_an_error(at: list[str], port: int) -> None:
    assert at == []
    with pytest.raises(OSError, match="No route to host") as first:
        dial("host", port, 60)
    with pytest.raises(OSError, match="No route to host") as second:
        dial("host", port, 60)
    assert first.value is not second.value, "a traceback would grow with each"


def test_families_take_turns() -> None:
    found = [(V6, "a"), (V6, "b"), (V6, "c"), (V4, "d")]
    assert [name for _, name in alternate(found)] == ["a", "d", "b", "c"]
    assert [name for _, name in alternate(found[::-1])] == ["d", "c", "b", "a"]
