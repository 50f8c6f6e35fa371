"""Connections to a server: plain, TLS, through a proxy or a unix socket; and their failures."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import ConfigError, Unreachable
from raft_snapshot_agent.network.exchange import SMALL, Unacceptable, exchange
from raft_snapshot_agent.network.failures import broken_by_proxy, proxy_trouble, refused_by_proxy
from raft_snapshot_agent.network.pools import kept, open_pool
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.network.trust import Trust
from raft_snapshot_agent.network.unix import UnixPool
from raft_snapshot_agent.trace import traced
from raft_snapshot_agent.vault.exposure import exposes, exposure, proxy_to
from raft_snapshot_agent.vault.settings import TlsSettings, VaultSettings

_CLIENT_CERTIFICATE = "set vault.tls.client_cert and vault.tls.client_key to a pair it accepts"


class Line:
    """The connections to one address."""

    def __init__(self, address: str, settings: VaultSettings) -> None:
        """Make ready; nothing is contacted yet.

        Raises:
            ConfigError: A certificate or key file cannot be used, or a proxy's address; or others
                could read the token on the way.
        """
        proxy = proxy_to(address, settings.proxy)
        if exposes(address, settings):
            raise exposure(address)
        named = bool(settings.tls.ca_file or settings.tls.ca_path)
        self._asked = Asked(address, address, proxy, named)
        self._base = "" if address.startswith("unix:") else address
        self._pool = _open_pool(address, settings.tls, proxy)

    def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        patience: str = "timeout",
        most: int = SMALL,
        **how: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Make one request; neither repeated nor redirected.

        Arguments:
            method: The verb.
            path: Below the address.
            seconds: For all of it; see `exchange`.
            patience: The setting below `vault` that says how long to wait for an answer.
            most: Bytes of the answer.
            how: Of `exchange`, or of urllib3's `urlopen`.

        Raises:
            Unreachable: There was no answer of the server's.
        """
        pool = self._pool
        if not kept(self._asked.url, self._asked.proxy):
            pool = open_pool(None, self._asked.proxy)
        with self.translated(patience), traced(method, self._asked.url + path) as request:
            answer = exchange(pool, method, self._base + path, seconds=seconds, most=most, **how)
            request.status = answer.status
        refuse_for_proxy(self._asked, answer)
        return answer

    def translated(self, patience: str = "timeout") -> AbstractContextManager[None]:
        """Turn what the HTTP library raises into one line for the operator."""
        return translated(self._asked, patience)

    def close(self) -> None:
        """Close all of them."""
        self._pool.clear()


def _open_pool(address: str, tls: TlsSettings, proxy: Proxy | None) -> Any:
    if address.startswith("unix:"):
        return UnixPool(urlsplit(address).path)
    if address.startswith("http:"):
        return open_pool(None, proxy)
    trust = Trust(
        ca_file=tls.ca_file,
        ca_path=tls.ca_path,
        skip_verify=tls.skip_verify,
        system=False,
        client_cert=tls.client_cert,
        client_key=tls.client_key,
    )
    try:
        return open_pool(trust, proxy, server_hostname=tls.server_name)
    except ConfigError as error:
        raise ConfigError(f"vault.tls: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked, and how."""

    url: str
    shown: str
    """How an operator knows them."""
    proxy: Proxy | None = None
    """What is in between."""
    named: bool = False
    """Whether the settings say which authorities to trust."""

    def __str__(self) -> str:
        return self.shown + (f" through {self.proxy}" if self.proxy else "")


@contextmanager
def translated(asked: Asked, patience: str = "timeout") -> Iterator[None]:
    """Turn what the HTTP library raises into one line for the operator.

    Arguments:
        asked: Who was asked.
        patience: The setting below `vault` that says how long to wait for an answer.
    """
    try:
        yield
    except (HTTPError, OSError) as error:
        reason, hint = _explain(error, asked, patience)
        raise Unreachable(f"cannot reach {asked}: {reason}", hint=hint) from error


def refuse_for_proxy(asked: Asked, answer: urllib3.BaseHTTPResponse) -> None:
    """Raise what a proxy answered in place of who was asked.

    Raises:
        Unreachable: It wants a login.
    """
    tunnel = asked.url.startswith("https:")
    # The servers themselves answer with neither of them.
    if asked.proxy is not None and not tunnel and answer.status in {401, 407}:
        answer.close()
        trouble = refused_by_proxy(answer.status, answer.reason or "", asked.proxy, asked.url)
        raise Unreachable(f"cannot reach {asked}: {trouble.why}", hint=trouble.hint)


def _explain(error: Exception, asked: Asked, patience: str) -> tuple[str, str]:
    match error:
        case ProxyError() if asked.proxy is not None:
            trouble = proxy_trouble(error, asked.proxy, asked.url)
            return trouble.why, trouble.hint
        case ProtocolError() if asked.proxy is not None and asked.url.startswith("http:"):
            trouble = broken_by_proxy(asked.proxy)
            return trouble.why, trouble.hint
        case SSLError():
            return _explain_tls(error, asked.named)
        case NameResolutionError():
            return f"{urlsplit(asked.url).hostname} has no address", "check the name and DNS"
        case NewConnectionError():
            return _innermost(error), "check that the server runs and the address is right"
        case ConnectTimeoutError():
            return "it does not accept a connection in time", "check host, port and firewall"
        case Unacceptable():
            return str(error), "look what answers at that address: it is no Vault or OpenBao"
        case TimedOut():
            return "it did not answer in time", f"check the server, or raise vault.{patience}"
        case _:
            return _innermost(error), "check that the server runs and speaks HTTP there"


def _explain_tls(error: SSLError, named: bool) -> tuple[str, str]:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it speaks plain HTTP", "write the address with http:// or enable TLS there"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return _untrusted(reason, named)
    if "ALERT_CERTIFICATE_REQUIRED" in text:
        return "it wants a client certificate", _CLIENT_CERTIFICATE
    if "ALERT_BAD_CERTIFICATE" in text or "ALERT_UNKNOWN_CA" in text:
        return "it refuses our client certificate", _CLIENT_CERTIFICATE
    return f"TLS failed: {_innermost(error)}", "check vault.tls"


def _untrusted(reason: str, named: bool) -> tuple[str, str]:
    hint = "set vault.tls.ca_file to the authority that signed it"
    if named:
        hint = (
            "none in vault.tls.ca_file or ca_path signed it: add the intermediate or root that did"
        )
    if "mismatch" in reason:
        hint = "set vault.tls.server_name to a name it is valid for"
    elif "expired" in reason:
        hint = "renew it on the server"
    return f"its certificate is not trusted: {reason.rstrip('.') or 'verification failed'}", hint


def _innermost(error: BaseException) -> str:
    """Name the system's reason at the bottom of the library's wrappings."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:200] or type(error).__name__
