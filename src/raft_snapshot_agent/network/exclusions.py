"""Decides which hosts are reached without the environment's proxy.

The rules are those of Go, and therefore of the official command line.

Source: the documentation of golang.org/x/net/http/httpproxy, `Config.NoProxy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult

Ip = IPv4Address | IPv6Address

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ExcludedHost:
    """Host and port that a connection leads to."""

    name: str
    port: int
    ip: Ip | None

    @classmethod
    def of(cls, url: SplitResult) -> ExcludedHost:
        name = ascii_name(url.hostname or "")
        return cls(name, url.port or PORTS.get(url.scheme, 0), _address(name))


Rule = Callable[[ExcludedHost], bool]

_OWN_NETWORKS = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")))
_OWN_NAMES = ("metadata", "metadata.google.internal")
"""Where a platform offers its services to this very host: link-local addresses, and what stands
for them in IPv6 at Amazon and by name at Google."""


def is_loopback(host: ExcludedHost) -> bool:
    return host.name == "localhost" or (host.ip is not None and host.ip.is_loopback)


def is_metadata(host: ExcludedHost) -> bool:
    """Return whether this is a metadata service of the platform.

    Through a proxy, it would answer with the identity of the proxy's host.
    """
    ip = host.ip
    return host.name in _OWN_NAMES or (ip is not None and any(ip in own for own in _OWN_NETWORKS))


def is_excluded(no_proxy: str, host: ExcludedHost) -> bool:
    """Return whether `NO_PROXY` excludes a host from the proxy."""
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return "*" in entries or any(_rule(entry)(host) for entry in entries if entry)


def _rule(entry: str) -> Rule:
    if "/" in entry:
        return _network(entry)
    name, port = _split(entry)
    ip = _address(name)
    matches = _by_name(name) if ip is None else (lambda host: host.ip == ip)
    return lambda host: matches(host) and port in {None, str(host.port)}


def _network(entry: str) -> Rule:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return _by_name(entry)
    return lambda host: host.ip is not None and host.ip in network


def _by_name(name: str) -> Rule:
    """Match subdomains, and the name itself unless it begins with a dot or `*.`; no addresses."""
    if not name:
        return lambda _: False
    pattern = ascii_name(name.removeprefix("*")) if name.startswith("*.") else ascii_name(name)
    suffix = pattern if pattern.startswith(".") else f".{pattern}"
    return lambda host: host.ip is None and (host.name.endswith(suffix) or host.name == pattern)


def _split(entry: str) -> tuple[str, str | None]:
    """Split off a port, but not the end of an IPv6 address without brackets."""
    if entry.startswith("["):
        name, bracket, rest = entry[1:].partition("]")
        return (name, rest[1:] or None) if bracket else (entry, None)
    if entry.count(":") != 1:
        return entry, None
    name, _, port = entry.partition(":")
    return name, port or None


def _address(name: str) -> Ip | None:
    try:
        ip = ip_address(name.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def ascii_name(name: str) -> str:
    """Return a host name in the form used by DNS (ASCII)."""
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name
