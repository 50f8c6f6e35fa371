"""Explains failures of a proxy, as distinct from those of the server behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent.network.exclusions import PORTS
from raft_snapshot_agent.network.proxies import VARIABLES, Proxy

if TYPE_CHECKING:
    from urllib3.exceptions import ProxyError


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failure caused by the proxy."""

    why: str
    hint: str
    lasting: bool = False
    """Whether a retry is useless."""


_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3}) ?(.*)", re.DOTALL)


def proxy_trouble(error: ProxyError, proxy: Proxy, url: str) -> Trouble:
    """Explain why there is no connection through a proxy, from an error of urllib3."""
    from urllib3.exceptions import (
        ConnectTimeoutError,
        NameResolutionError,
        NewConnectionError,
        SSLError,
    )

    cause = error.original_error
    tunnel = _TUNNEL.search(str(cause))
    if tunnel is not None:
        return refused_by_proxy(int(tunnel[1]), tunnel[2], proxy, url)
    match cause:
        case NameResolutionError():
            return _unreachable(f"{proxy.host} has no address", proxy)
        case NewConnectionError():  # a subclass of the errors below
            return explain_not_accepted(cause, proxy)
        case ConnectTimeoutError() | TimeoutError():
            return _unreachable("the proxy does not accept a connection in time", proxy)
        case SSLError():
            return _explain_untrusted(_tls_reason(str(cause)), proxy)
        case _:
            return explain_not_accepted(cause, proxy)


def explain_not_accepted(error: BaseException, proxy: Proxy) -> Trouble:
    """Explain that there is no connection to the proxy, from the innermost error."""
    reason = innermost(error)
    return _unreachable(f"the proxy does not accept the connection: {reason}", proxy)


def broken_by_proxy(proxy: Proxy) -> Trouble:
    """Explain a plain HTTP connection that ended; the proxy is the only peer it has.

    Some proxies refuse a request before they have read all of it, and their answer is lost.
    """
    return Trouble("the proxy broke the connection", f"look at its log: it may {_login(proxy)}")


def refused_by_proxy(status: int, said: str, proxy: Proxy, url: str) -> Trouble:
    """Explain an answer of the proxy itself."""
    there, answer = _destination(url), " ".join(f"{status} {said}".split())[:100]
    wants_login = status in {401, 407}  # some proxies use the status of servers, 401
    if wants_login and proxy.username is None:
        hint = f"write USER:PASSWORD@ before the host in {proxy.source}"
        return Trouble(f"the proxy demands a user name and a password ({answer})", hint, True)
    if wants_login:
        hint = f"correct them in {proxy.source}"
        return Trouble(f"the proxy refuses the user name and password ({answer})", hint, True)
    if status >= 500:
        hint = f"look at the proxy's log{_or_without(proxy)}"
        return Trouble(f"the proxy cannot reach {there} ({answer})", hint)
    hint = f"allow it at the proxy{_or_without(proxy)}"
    return Trouble(f"the proxy refuses connections to {there} ({answer})", hint, True)


def _login(proxy: Proxy) -> str:
    return f"{'demand' if proxy.username is None else 'refuse'} a user name and password"


def _unreachable(why: str, proxy: Proxy) -> Trouble:
    return Trouble(why, f"check that the proxy runs, and {proxy.source}")


def _explain_untrusted(reason: str, proxy: Proxy) -> Trouble:
    if reason:
        hint = "name the authority that signed it in ca_file"
        return Trouble(f"the proxy's certificate is not trusted: {reason}", hint, True)
    hint = f"write its address in {proxy.source} with http://"
    return Trouble("the proxy does not speak TLS", hint, True)


def _tls_reason(text: str) -> str:
    return text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]


def _or_without(proxy: Proxy) -> str:
    if proxy.source in VARIABLES:
        return ", or name the host in NO_PROXY"
    return f", or remove {proxy.source}"


def _destination(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or PORTS[parts.scheme]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def innermost(error: BaseException) -> str:
    """Return the reason of the error from which all others follow."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:100] or type(error).__name__
