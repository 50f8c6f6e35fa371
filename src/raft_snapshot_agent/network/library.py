"""Makes botocore, which opens its own connections, use the agent's proxy rules."""

from __future__ import annotations

from urllib.parse import urlsplit

from raft_snapshot_agent.network.proxies import route


def decide_for_botocore() -> None:
    """Replace botocore's reading of the environment, which ignores networks in NO_PROXY."""
    import botocore.endpoint
    import botocore.utils

    for module in (botocore.endpoint, botocore.utils):
        module.get_environ_proxies = _proxies_for


def _proxies_for(url: str) -> dict[str, str]:
    proxy = route(url)
    return {} if proxy is None else {urlsplit(url).scheme: proxy.url}
