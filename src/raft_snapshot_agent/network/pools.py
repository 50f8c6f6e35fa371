"""Pools of reusable connections, direct and through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.network.address import ProxyAddress, resolve_proxy
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.network.trust import TlsOptions, Versions, context, file_versions

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
    """The pools of one client, which connects to several hosts; thread-safe.

    A pool is replaced when the certificates it was opened with are renewed.
    """

    def __init__(
        self, trust: TlsOptions, configured: ProxyAddress | None = None, **options: Any
    ) -> None:
        self._trust = trust
        self._configured = configured
        self._options = options
        self._lock = Lock()
        self._open: dict[tuple[Proxy | None, bool], tuple[Versions, urllib3.PoolManager]] = {}

    def through(self, url: str) -> Proxy | None:
        """Return the proxy used for a URL."""
        return route(url, resolve_proxy(self._configured))

    def pool(self, url: str, proxy: Proxy | None) -> urllib3.PoolManager:
        """Return the pool for a URL, with a proxy or without.

        Raises:
            ConfigError: A certificate or key file cannot be used.
        """
        tls = not is_plain(url)
        if not may_reuse(url, proxy):
            return self._open_pool(proxy, tls)
        versions = file_versions(self._trust) if tls else ()
        with self._lock:
            opened, pool = self._open.get((proxy, tls), ((), None))
            if pool is None or opened != versions:  # requests under way use the previous one
                pool = self._open_pool(proxy, tls)
                self._open[proxy, tls] = versions, pool
            return pool

    def clear(self) -> None:
        """Close idle connections; the next request opens one."""
        with self._lock:
            for _, pool in self._open.values():
                pool.clear()
            self._open.clear()

    def _open_pool(self, proxy: Proxy | None, tls: bool) -> urllib3.PoolManager:
        return open_pool(self._trust, proxy, tls=tls, **(self._options if tls else {}))
