"""Checks whether an address belongs to this host, or is of any use on it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address


def can_bind(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether a socket can be bound there, as only to an address of this host."""
    if ip.is_unspecified or ip.is_multicast:
        return False  # any host can bind to it
    return _try(socket.socket.bind, ip, 0)


def has_route(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether this host knows a way there; it sends nothing."""
    return _try(socket.socket.connect, ip, 9)


def _try(
    call: Callable[[socket.socket, tuple[str, int]], None],
    ip: IPv4Address | IPv6Address,
    port: int,
) -> bool:
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            call(probe, (str(ip), port))
    except OSError:
        return False
    return True
