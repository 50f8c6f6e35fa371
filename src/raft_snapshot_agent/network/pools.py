"""Pools of reusable connections, direct and through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.network.address import ProxyAddress, looked_up
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.network.trust import TlsOptions, context

if TYPE_CHECKING:
    import urllib3

_KEPT = 4


def open_pool(trust: TlsOptions | None, proxy: Proxy | None, **options: Any) -> urllib3.PoolManager:
    """Return a pool of connections; no I/O except reading certificates.

    Arguments:
        trust: Trusted certificates; `None` without TLS.
        proxy: Proxy of all connections; `None` for direct ones.
        options: Further arguments of urllib3's pools.

    Raises:
        ConfigError: A certificate or key file cannot be used.
    """
    # Imported here, because settings are read without the HTTP library, which is slow to load.
    import urllib3

    from raft_snapshot_agent.network.connections import POOLS

    how = {"maxsize": _KEPT, **(_checks(trust) if trust else {}), **options}
    if proxy is None:
        pool = urllib3.PoolManager(**how)
    else:
        tls = context((trust or TlsOptions()).of_proxy()) if proxy.scheme == "https" else None
        pool = urllib3.ProxyManager(
            proxy.address, proxy_headers=proxy.headers, proxy_ssl_context=tls, **how
        )
    pool.pool_classes_by_scheme = POOLS
    return pool


def kept(url: str, proxy: Proxy | None) -> bool:
    """Return whether a connection may be reused.

    Without a tunnel, some proxies close it after each answer without announcing that.
    """
    return proxy is None or url.startswith("https:")


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
        self._open: dict[Proxy | None, urllib3.PoolManager] = {}

    def through(self, url: str) -> Proxy | None:
        """Return the proxy used for a URL."""
        return route(url, looked_up(self._configured))

    def pool(self, url: str, proxy: Proxy | None) -> urllib3.PoolManager:
        """Return the pool for a URL, with a proxy or without."""
        if not kept(url, proxy):
            return open_pool(self._trust, proxy)
        with self._lock:
            if proxy not in self._open:
                self._open[proxy] = open_pool(self._trust, proxy)
            return self._open[proxy]
