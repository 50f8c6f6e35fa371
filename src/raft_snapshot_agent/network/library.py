"""What libraries that connect by themselves are told, so that they decide nothing.

The object store library takes one proxy for all its connections, and reads the environment unless
it is given one. Amazon's has one function that reads it.
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


def decide_for_botocore() -> None:
    """Put our reading of the environment in the place of botocore's, which knows no networks."""
    import botocore.endpoint
    import botocore.utils

    for module in (botocore.endpoint, botocore.utils):
        module.get_environ_proxies = _proxies_for


def _proxies_for(url: str) -> dict[str, str]:
    proxy = route(url)
    return {} if proxy is None else {urlsplit(url).scheme: proxy.url}
