"""Pools of reusable connections, direct and through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.network.address import ProxyAddress, resolve_proxy
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.network.trust import TlsOptions, context

if TYPE_CHECKING:
    import urllib3

_KEPT = 8
"""Idle connections to one host: as many as manifests are read at once."""


def open_pool(
    trust: TlsOptions, proxy: Proxy | None, *, tls: bool = True, **options: Any
) -> urllib3.PoolManager:
    """Return a pool of connections; no I/O except reading certificates.

    Arguments:
        trust: Trusted certificates.
        proxy: Proxy of all connections; `None` for direct ones.
        tls: Whether any URL is `https:`. If not, only a proxy's certificate is verified, and
            without such a proxy no certificates are loaded, which takes 50 ms.
        options: Further arguments of urllib3's pools.

    Raises:
        ConfigError: A certificate or key file cannot be used.
    """
    # Imported here, because settings are read without the HTTP library, which is slow to load.
    import urllib3

    from raft_snapshot_agent.network.connections import POOLS

    how = {"maxsize": _KEPT, **(_checks(trust) if tls else {}), **options}
    if proxy is None:
        pool = urllib3.PoolManager(**how)
    else:
        checks = context(trust.of_proxy()) if proxy.scheme == "https" else None
        pool = urllib3.ProxyManager(
            proxy.address, proxy_headers=proxy.headers, proxy_ssl_context=checks, **how
        )
    pool.pool_classes_by_scheme = POOLS
    return pool


def may_reuse(url: str, proxy: Proxy | None) -> bool:
    """Return whether a connection may be reused.

    Without a tunnel, some proxies close it after each answer without announcing that.
    """
    return proxy is None or not is_plain(url)


def is_plain(url: str) -> bool:
    """Return whether requests to a URL are sent without TLS."""
    return url.lower().startswith("http:")


def _checks(trust: TlsOptions) -> Mapping[str, Any]:
    import urllib3
    from urllib3.exceptions import InsecureRequestWarning

    checks: dict[str, Any] = {"ssl_context": context(trust), "cert_reqs": "CERT_REQUIRED"}
    if trust.skip_verify:
        urllib3.disable_warnings(InsecureRequestWarning)
        checks |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return checks


class Pools:
    """The pools of one client, which connects to several hosts; thread-safe."""

    def __init__(self, trust: TlsOptions, configured: ProxyAddress | None = None) -> None:
        self._trust = trust
        self._configured = configured
        self._lock = Lock()
        self._open: dict[tuple[Proxy | None, bool], urllib3.PoolManager] = {}

    def through(self, url: str) -> Proxy | None:
        """Return the proxy used for a URL."""
        return route(url, resolve_proxy(self._configured))

    def pool(self, url: str, proxy: Proxy | None) -> urllib3.PoolManager:
        """Return the pool for a URL, with a proxy or without."""
        tls = not is_plain(url)
        if not may_reuse(url, proxy):
            return open_pool(self._trust, proxy, tls=tls)
        with self._lock:
            if (proxy, tls) not in self._open:
                self._open[proxy, tls] = open_pool(self._trust, proxy, tls=tls)
            return self._open[proxy, tls]
