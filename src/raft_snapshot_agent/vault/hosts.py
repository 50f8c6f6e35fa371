"""Decides which addresses belong to this host."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.network.own_address import can_bind, has_route

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(address: str) -> bool:
    """Return whether a server is on this host, by its address: loopback, own IP or unix socket.

    A name of several hosts is not: any of them may answer. An address without a route is no other
    host's, because nobody answers there: a host's name may have addresses of a family that is off,
    and link-local ones.
    """
    if address.startswith("unix:"):
        return True
    ips = _resolve(_host(address))
    here = {ip for ip in ips if _is_here(ip) or ip.is_unspecified}
    return bool(here) and not any(map(has_route, ips - here))


def is_own(address: str) -> bool:
    """Return whether the address that a leader announces names this host.

    A literal loopback address does not identify a host. A name that resolves to loopback does
    count, because hosts list their own names so (`127.0.1.1 vault-0`).
    """
    host = _host(address)
    return not _is_literal_loopback(host) and any(_is_here(ip) for ip in _resolve(host))


def doubt_own_host(address: str, announced: str, *, proxied: bool) -> ServerError | None:
    """Return why a server that leads at a local address may be on another host.

    Arguments:
        address: Where it was asked.
        announced: The address that it announces as the leader's.
        proxied: Whether an agent or proxy stands in between, so that a socket is not the server's.
    """
    host = _host(announced)
    own_socket = address.startswith("unix:") and not proxied
    if own_socket or not host or _is_literal_loopback(host) or is_own(announced):
        return None
    return ServerError(
        f"{address} says that it leads, but it announces {announced}, which is not this host:"
        " behind a load balancer every agent takes snapshots",
        hint="set api_addr on the servers to each node's own address; if only one agent works here,"
        " set run_on: anywhere",
    )


def _is_literal_loopback(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""  # an invalid address from another server, such as "https://["


def _literal(host: str) -> _Ip | None:
    try:
        return _unmap(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def _resolve(host: str) -> set[_Ip]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # also raised for an empty name
        return set()
    ips = {_literal(str(sockaddr[0])) for *_, sockaddr in found}
    return {ip for ip in ips if ip is not None}


def _unmap(ip: _Ip) -> _Ip:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one, else the address itself."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _is_here(ip: _Ip) -> bool:
    return ip.is_loopback or can_bind(ip)
