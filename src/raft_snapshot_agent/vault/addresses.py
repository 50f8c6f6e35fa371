"""Addresses of servers, as the servers themselves write them."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from raft_snapshot_agent.vault.settings import checked_address

_PORTS = {"http": 80, "https": 443}


def usable(address: str) -> bool:
    """Return whether an address has the form of one to connect to."""
    try:
        return checked_address(address) == address
    except ValueError:
        return False


def origin(address: str, *, base: str = "") -> str:
    """Return scheme, host and port of an address, in one normal form for comparison."""
    try:
        parts = urlsplit(urljoin(base, address))
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        return address
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
