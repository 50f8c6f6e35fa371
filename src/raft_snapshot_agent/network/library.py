"""What the object store library is told, so that it decides nothing by itself.

It takes one proxy for all its connections, and reads the environment unless it is given one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.exclusions import OWN
from raft_snapshot_agent.network.proxies import Proxy, route


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """The library's options for a proxy."""

    url: str = field(repr=False)
    excludes: str


# Never asked, as everybody is left out; but without one the environment's would be.
_DIRECT = ProxyOptions("http://127.0.0.1:9", "*,0.0.0.0/0,::/0")


def proxy_options(urls: Iterable[str], configured: Proxy | None) -> ProxyOptions:
    """Return how the library is to reach these hosts.

    Arguments:
        urls: Everybody it asks.
        configured: The proxy that the configuration names for all of them.

    Raises:
        ConfigError: It would need two proxies.
    """
    routes = {url: route(url, configured) for url in urls}
    proxies = {proxy.url: proxy for proxy in routes.values() if proxy is not None}
    if not proxies:
        return _DIRECT
    if len(proxies) > 1:
        both = " and ".join(map(str, proxies.values()))
        raise ConfigError(
            f"{' and '.join(routes)} are behind different proxies: {both}",
            hint="give this storage a proxy of its own, with its key proxy",
        )
    direct = [urlsplit(url).hostname or "" for url, proxy in routes.items() if proxy is None]
    return ProxyOptions(next(iter(proxies)), ",".join((*OWN, *direct)))
