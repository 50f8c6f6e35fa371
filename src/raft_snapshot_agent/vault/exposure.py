"""Finds the proxy to a server, and whether others could read the token on the way."""

from __future__ import annotations

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.network.clear_text import in_clear
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.vault.settings import VaultSettings


def proxy_to(address: str, configured: ProxyAddress | None) -> Proxy | None:
    """Return the proxy for a server; `NO_PROXY` does not apply to `vault.proxy` and `*_PROXY_ADDR`.

    Raises:
        ConfigError: The proxy's URL is invalid.
    """
    given = None if configured is None else configured.proxy("vault.proxy")
    return route(address, given)


def exposes(address: str, settings: VaultSettings) -> bool:
    """Return whether others could read the token on the way, without permission to send it so.

    This is checked for every address, configured or announced by a server.

    Raises:
        ConfigError: The proxy cannot be used.
    """
    return not settings.allow_http and is_readable(address, settings)


def is_readable(address: str, settings: VaultSettings) -> bool:
    """Return whether others could read the token on the way to a server.

    Raises:
        ConfigError: The proxy cannot be used.
    """
    return in_clear(address, proxy_to(address, settings.proxy))


def exposure(address: str) -> ConfigError:
    """Return the error for an address to which secrets would be sent without TLS."""
    return ConfigError(
        f"{address} is not encrypted: the token and the snapshot could be read on the way",
        hint="use https://, or set vault.allow_http: true",
    )
