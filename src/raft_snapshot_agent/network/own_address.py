"""Checks whether an address belongs to this host, or is of any use on it."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address


def can_bind(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether a socket can be bound there, as only to an address of this host."""
    if ip.is_unspecified or ip.is_multicast:
        return False  # any host can bind to it
    try:
        with _socket(ip) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


def has_route(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether this host knows a way there; it sends nothing."""
    try:
        with _socket(ip) as probe:
            probe.connect((str(ip), 9))
    except OSError:
        return False
    return True


def _socket(ip: IPv4Address | IPv6Address) -> socket.socket:
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)
