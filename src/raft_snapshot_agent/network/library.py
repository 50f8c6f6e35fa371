"""Settings for Amazon's library, which connects by itself: it decides nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from raft_snapshot_agent.network.proxies import route


def decide_for_botocore() -> None:
    """Put our reading of the environment in the place of botocore's, which knows no networks."""
    import botocore.endpoint
    import botocore.utils

    for module in (botocore.endpoint, botocore.utils):
        module.get_environ_proxies = _proxies_for


def _proxies_for(url: str) -> dict[str, str]:
    proxy = route(url)
    return {} if proxy is None else {urlsplit(url).scheme: proxy.url}
