"""Limits which addresses may be contacted if another party controls what a name resolves to.

The owner of a name could direct the agent to its internal network, such as to the platform's
metadata services. So the actual peer address of each connection is checked before a byte is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from raft_snapshot_agent.network.exclusions import ExcludedHost, is_loopback, is_metadata

Ip = IPv4Address | IPv6Address
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv6 networks whose last 32 bits are an IPv4 address (RFC 6052)."""


class PrivateAddressRefused(Exception):
    """A name resolves to an address that is not public."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses connections may be made to."""

    loopback: bool = False
    """Whether the URL names this host."""


_REACH: ContextVar[Reach | None] = ContextVar("reach", default=None)
"""Nothing: anywhere."""


@contextmanager
def public_only(url: str) -> Iterator[None]:
    """Refuse direct connections to addresses that are not public.

    This host's loopback is allowed if the URL names it: `localhost` or its address.
    """
    token = _REACH.set(Reach(loopback=is_loopback(ExcludedHost.of(urlsplit(url)))))
    try:
        yield
    finally:
        _REACH.reset(token)


def check_peer(connected: socket.socket) -> None:
    """Check that the peer of a new connection is allowed.

    Raises:
        PrivateAddressRefused: It is not.
    """
    reach = _REACH.get()
    if reach is None or connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    ip = _plain(ip_address(str(connected.getpeername()[0]).partition("%")[0]))
    if not (is_public(ip) or (reach.loopback and ip.is_loopback)):
        raise PrivateAddressRefused(str(ip))


def is_public(ip: Ip) -> bool:
    """Return whether an address is public: not private, link-local, shared or reserved."""
    plain = _plain(ip)
    return plain.is_global and not plain.is_multicast


def private_target(url: str) -> str:
    """Return the host of a URL if it is not public; names are not resolved. Else empty."""
    host = ExcludedHost.of(urlsplit(url))
    if is_loopback(host):
        return ""
    if is_metadata(host) or (host.ip is not None and not is_public(host.ip)):
        return host.name
    return ""


def _plain(ip: Ip) -> Ip:
    """Return the IPv4 address that is embedded in an IPv6 address, else the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
