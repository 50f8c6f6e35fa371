"""Chooses the proxy of a connection: the configured one, else the environment's.

Source for the variables and their order: golang.org/x/net/http/httpproxy, `FromEnvironment`, which
the official command line uses. `ALL_PROXY` is an addition: it is used if no other variable is set
for the scheme.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.exclusions import (
    PORTS,
    ExcludedHost,
    is_excluded,
    is_loopback,
    is_metadata,
)
from raft_snapshot_agent.redaction import show_address

WRITTEN = "write http://host:port, with special characters in user name and password as %XX"
_OF_SCHEME = {"http": ("HTTP_PROXY", "http_proxy"), "https": ("HTTPS_PROXY", "https_proxy")}
_ANY = ("ALL_PROXY", "all_proxy")
_EXCEPT = ("NO_PROXY", "no_proxy")
VARIABLES = {*_OF_SCHEME["http"], *_OF_SCHEME["https"], *_ANY}
"""Variables to which NO_PROXY applies."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and the setting it comes from."""

    scheme: str
    host: str
    """As in a URL, so an IPv6 address has brackets."""
    port: int
    source: str
    """The variable or key it comes from."""
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, source: str) -> Proxy:
        """Parse the URL of a proxy.

        Raises:
            ConfigError: It is invalid, or the URL of an unsupported type of proxy.
        """
        try:
            url = checked_proxy(text)
        except ValueError as error:
            raise ConfigError(f"{source}: {error}", hint=WRITTEN) from None
        host = url.hostname or ""
        return cls(
            scheme=url.scheme,
            host=f"[{host}]" if ":" in host else host,
            port=url.port or PORTS[url.scheme],
            source=source,
            username=None if url.username is None else unquote(url.username),
            password=unquote(url.password or ""),
        )

    @property
    def address(self) -> str:
        """The URL without credentials."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL with credentials, for libraries; must not be shown."""
        if self.username is None:
            return self.address
        pair = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{pair}@{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate at the proxy."""
        if self.username is None:
            return {}
        pair = f"{self.username}:{self.password}".encode()
        return {"proxy-authorization": f"Basic {b64encode(pair).decode()}"}

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port} (set by {self.source})"


def checked_proxy(text: str) -> SplitResult:
    """Split the URL of a proxy into its parts.

    Raises:
        ValueError: It is invalid; the text does not contain the password.
    """
    shown = show_address(text)
    try:
        url = urlsplit(text.strip())
        usable = url.scheme in PORTS and url.hostname and url.port != 0
    except ValueError:
        raise ValueError(f"{shown!r} is not the URL of a proxy") from None
    if url.scheme.startswith("socks"):
        raise ValueError(f"{shown!r} is a SOCKS proxy, and only HTTP proxies can be used")
    if not usable:
        raise ValueError(f"{shown!r} is not the URL of a proxy, such as http://proxy.internal:3128")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("the URL of a proxy ends after its port")
    return url


def route(
    url: str, configured: Proxy | None = None, environ: Mapping[str, str] | None = None
) -> Proxy | None:
    """Return the proxy used for a URL; `None` for a direct connection.

    Arguments:
        url: Target of the connection.
        configured: The configured proxy, which is used for all hosts.
        environ: Variables used otherwise; by default those of the process.

    Raises:
        ConfigError: The variable that applies has an invalid value.
    """
    parts = urlsplit(url)
    host = ExcludedHost.of(parts)
    if parts.scheme not in PORTS or is_metadata(host):
        return None
    if configured is not None:
        return configured
    return _from_environment(parts.scheme, host, os.environ if environ is None else environ)


def _from_environment(scheme: str, host: ExcludedHost, environ: Mapping[str, str]) -> Proxy | None:
    name, value = _first(environ, (*_OF_SCHEME[scheme], *_ANY))
    if not value or is_loopback(host) or is_excluded(_first(environ, _EXCEPT)[1], host):
        return None
    if name in _OF_SCHEME["http"] and environ.get("REQUEST_METHOD"):
        # In a CGI script, a client can set HTTP_PROXY by sending the header "Proxy".
        raise ConfigError(
            f"{name} is not used where REQUEST_METHOD is set, as in a CGI script",
            hint="unset REQUEST_METHOD, or set the proxy in the configuration",
        )
    return Proxy.parse(_with_scheme(value), name)


def check_environment(environ: Mapping[str, str]) -> None:
    """Check that the proxy variables are valid.

    Raises:
        ConfigError: One of them is not.
    """
    for names in (*_OF_SCHEME.values(), _ANY):
        name, value = _first(environ, names)
        if value:
            Proxy.parse(_with_scheme(value), name)


def _with_scheme(value: str) -> str:
    return value if "://" in value else f"http://{value}"


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the first of these variables that is set and not empty."""
    return next(((name, value) for name in names if (value := environ.get(name))), ("", ""))
