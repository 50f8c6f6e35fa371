"""Where secrets may travel without TLS: within this host, and where an operator allows it.

Services that a platform offers to this very host (see `exclusions.is_metadata`) are asked without
it, for they have no other address.
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
    """Return whether others can read what goes to a URL, by way of a proxy if there is one.

    Names are not looked up: whoever answers for a name would say where secrets go. A URL that
    cannot be read is no safe place either.
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
    """Refuse an endpoint without TLS, unless that is `allowed` or, not said, on this host.

    Raises:
        ValueError: It is refused.
    """
    if (in_clear(endpoint) and not allowed) or (allowed is False and endpoint.startswith("http:")):
        raise ValueError(f"{endpoint} is not encrypted: use https, or set allow_http: true")


def issuer(variable: str, usual: str) -> str:
    """Return the address in the environment of who exchanges an identity, else the usual one.

    Raises:
        ConfigError: Others could read the identity on the way.
    """
    url = os.environ.get(variable) or usual
    if in_clear(url):
        raise ConfigError(
            f"{variable} is {redact(url)}, and an identity is not sent there without TLS",
            hint="use https://; no key allows it, for these services all have it",
        )
    return url


def _is_here(host: ExcludedHost) -> bool:
    if host.ip is None:
        return is_loopback(host)
    # What is sent to the unspecified address stays here.
    return is_loopback(host) or host.ip.is_unspecified or can_bind(host.ip)
