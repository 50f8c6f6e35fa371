"""Explains errors of connections to a server."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

from raft_snapshot_agent.errors import NotListening, Unreachable
from raft_snapshot_agent.network.exchange import Unacceptable
from raft_snapshot_agent.network.failures import broken_by_proxy, proxy_trouble, refused_by_proxy
from raft_snapshot_agent.network.proxies import Proxy

_CLIENT_CERTIFICATE = "set vault.tls.client_cert and vault.tls.client_key to a pair it accepts"
_NO_HTTP = "check that the server runs and speaks HTTP there"
_REFUSED = "it refuses our client certificate"
_OLD = (
    "it speaks only a version of TLS before 1.2",
    "allow TLS 1.2 or 1.3 on the server, or on the proxy before it",
)
_ALERTS = {
    "ALERT_CERTIFICATE_REQUIRED": ("it wants a client certificate", _CLIENT_CERTIFICATE),
    "ALERT_BAD_CERTIFICATE": (_REFUSED, _CLIENT_CERTIFICATE),
    "ALERT_UNKNOWN_CA": (_REFUSED, _CLIENT_CERTIFICATE),
    "ALERT_UNSUPPORTED_CERTIFICATE": (_REFUSED, _CLIENT_CERTIFICATE),
    "ALERT_CERTIFICATE_UNKNOWN": (_REFUSED, _CLIENT_CERTIFICATE),
    "ALERT_CERTIFICATE_REVOKED": (f"{_REFUSED}: it was revoked", _CLIENT_CERTIFICATE),
    "ALERT_CERTIFICATE_EXPIRED": (
        f"{_REFUSED}: it has expired",
        "renew vault.tls.client_cert, or correct the server's clock",
    ),
    # Up to TLS 1.2 also for a client certificate that is missing.
    "ALERT_HANDSHAKE_FAILURE": (
        "it refuses the TLS handshake",
        "likely it wants a client certificate (vault.tls.client_cert), or no cipher is in common",
    ),
    "ALERT_PROTOCOL_VERSION": _OLD,
    "UNSUPPORTED_PROTOCOL": _OLD,
}
"""What is wrong and what to try, by OpenSSL's names of errors."""
_OF_CERTIFICATES = {
    "mismatch": "set vault.tls.server_name to a name it is valid for",
    "not yet valid": "correct the clock of this host, or the certificate on the server",
    "expired": "renew it on the server",
    "too weak": "replace it on the server by one with a stronger key and signature",
}
"""What to try, by words of OpenSSL's reason, if it is not that the authority is unknown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Target of a request, for messages."""

    url: str
    shown: str
    """The address as shown to the operator."""
    proxy: Proxy | None = None
    """The proxy in between, if any."""
    named: bool = False
    """Whether the settings name the authorities to trust."""

    def __str__(self) -> str:
        return self.shown + (f" through {self.proxy}" if self.proxy else "")


@contextmanager
def map_errors(asked: Asked, patience: str = "timeout") -> Iterator[None]:
    """Map errors of the HTTP library to one-line messages.

    Arguments:
        asked: Target of the request.
        patience: Name of the time-out setting below `vault`, for the hint.
    """
    try:
        yield
    except (HTTPError, OSError) as error:
        reason, hint = _explain(error, asked, patience)
        refused = isinstance(_find_cause(error), ConnectionRefusedError)
        kind = NotListening if refused and asked.proxy is None else Unreachable
        raise kind(f"cannot reach {asked}: {reason}", hint=hint) from error


def refuse_for_proxy(asked: Asked, answer: urllib3.BaseHTTPResponse) -> None:
    """Raise if a proxy answered instead of the server.

    Raises:
        Unreachable: The proxy demands a login.
    """
    tunnel = asked.url.startswith("https:")
    # Vault and OpenBao never answer with these statuses.
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
            return str(error), "check what answers at that address: it is no Vault or OpenBao"
        case TimedOut():
            return "it did not answer in time", f"check the server, or raise vault.{patience}"
        case ProtocolError() if _is_malformed(error):
            return "its answer is cut off or no valid HTTP", _NO_HTTP
        case _:
            return _innermost(error), _NO_HTTP


def _explain_tls(error: SSLError, named: bool) -> tuple[str, str]:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it speaks plain HTTP", "write the address with http:// or enable TLS there"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return _explain_untrusted(reason, named)
    found = (explained for alert, explained in _ALERTS.items() if alert in text)
    return next(found, (f"TLS failed: {_innermost(error)}", "check vault.tls"))


def _explain_untrusted(reason: str, named: bool) -> tuple[str, str]:
    hint = "set vault.tls.ca_file or VAULT_CACERT to the authority that signed it"
    if named:
        hint = (
            "none in vault.tls.ca_file or ca_path signed it: add the intermediate or root that did"
        )
    hint = next((advice for word, advice in _OF_CERTIFICATES.items() if word in reason), hint)
    return f"its certificate is not trusted: {reason.rstrip('.') or 'verification failed'}", hint


def _is_malformed(error: ProtocolError) -> bool:
    """Return whether an answer began and was cut off or malformed, which libraries tell badly."""
    cause = _find_cause(error)
    began = "Connection broken" in str(error) and not isinstance(cause, OSError)
    return began or isinstance(cause, ValueError)


def _find_cause(error: BaseException) -> BaseException:
    """Return the innermost error."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _innermost(error: BaseException) -> str:
    """Return the operating system's reason from the innermost error."""
    error = _find_cause(error)
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.partition(" (_ssl")[0].lower()
    return " ".join(str(error).split())[:200] or type(error).__name__
