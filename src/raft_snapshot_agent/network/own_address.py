"""Whether an address is one of this host's."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address


def can_bind(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether one can listen there: only at an address of this host. Nothing is sent."""
    if ip.is_unspecified or ip.is_multicast:
        return False  # anybody can listen there
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True
