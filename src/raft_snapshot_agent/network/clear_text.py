"""Decides where secrets may be sent without TLS: on this host, or where the operator allows it.

Metadata services of the platform (see `exclusions.is_metadata`) are also requested without TLS,
because they do not offer it.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.exclusions import ExcludedHost, is_loopback, is_metadata
from raft_snapshot_agent.network.own_address import can_bind
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.redaction import redact


def in_clear(url: str, proxy: Proxy | None = None) -> bool:
    """Return whether others can read the traffic to a URL, or to the proxy on the way.

    Names are not resolved, because then DNS would decide where secrets are sent. An invalid URL
    counts as readable.
    """
    try:
        parts = urlsplit(url)
        host = ExcludedHost.of(parts)
    except ValueError:
        return True
    if parts.scheme in ("https", "unix"):
        return False
    near = _is_here(host) and (proxy is None or _is_here(ExcludedHost.of(urlsplit(proxy.address))))
    return not near and not is_metadata(host)


def refuse_plain_http(endpoint: str, allowed: bool | None) -> None:
    """Refuse an endpoint without TLS, unless `allowed`, or `None` and on this host.

    Raises:
        ValueError: The endpoint is refused.
    """
    if (in_clear(endpoint) and not allowed) or (
        allowed is False and endpoint.lower().startswith("http:")
    ):
        raise ValueError(f"{endpoint} is not encrypted: use https, or set allow_http: true")


def issuer(variable: str, usual: str) -> str:
    """Return the address of a token service: from the environment, else the usual one.

    Raises:
        ConfigError: The address has no TLS, so that others could read the identity.
    """
    url = os.environ.get(variable) or usual
    if in_clear(url):
        raise ConfigError(
            f"{variable} is {redact(url)}, and an identity is not sent there without TLS",
            hint="use https://, which all these services support; no key allows http://",
        )
    return url


def _is_here(host: ExcludedHost) -> bool:
    if host.ip is None:
        return is_loopback(host)
    # Connections to the unspecified address stay on this host.
    return is_loopback(host) or host.ip.is_unspecified or can_bind(host.ip)
