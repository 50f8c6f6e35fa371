"""Connections to a server: plain, TLS or unix socket, and their failures in plain words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import ConfigError, Unreachable
from raft_snapshot_agent.vault.settings import TlsSettings


def open_pool(address: str, tls: TlsSettings) -> urllib3.HTTPConnectionPool:
    """Make a pool of connections to one address; nothing is contacted yet.

    Raises:
        ConfigError: A certificate or key file cannot be used.
    """
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return _UnixPool(parts.path)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(host, parts.port or 80, maxsize=4)
    return urllib3.HTTPSConnectionPool(
        host,
        parts.port or 443,
        maxsize=4,
        ssl_context=_context(tls),
        cert_reqs="CERT_NONE" if tls.skip_verify else "CERT_REQUIRED",
        server_hostname=tls.server_name,
        assert_hostname=False if tls.skip_verify else None,
    )


def _context(tls: TlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file, capath=tls.ca_path)
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key)
    except (OSError, ssl.SSLError) as error:
        files = [str(f) for f in (tls.ca_file, tls.ca_path, tls.client_cert, tls.client_key) if f]
        raise ConfigError(
            f"vault.tls: cannot use {', '.join(files)}: {error.strerror or error}",
            hint="give readable PEM files that belong together",
        ) from error
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, f"{self._path}: {error.strerror}") from error
        self.sock = connection


class _UnixPool(urllib3.HTTPConnectionPool):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", maxsize=4)
        self._path = path

    def _new_conn(self) -> HTTPConnection:
        return _UnixConnection(self._path)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn what the HTTP library raises into one line for the operator."""
    try:
        yield
    except (HTTPError, OSError) as error:
        reason, hint = _explain(error, address)
        raise Unreachable(f"cannot reach {address}: {reason}", hint=hint) from error


def _explain(error: Exception, address: str) -> tuple[str, str]:
    text = str(error)
    match error:
        case SSLError() if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
            return "it speaks plain HTTP", "write the address with http:// or enable TLS there"
        case SSLError() if "CERTIFICATE_VERIFY_FAILED" in text:
            reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
            return (
                f"its certificate is not trusted: {reason or 'verification failed'}",
                "set vault.tls.ca_file, or vault.tls.server_name where the name differs",
            )
        case SSLError():
            return f"TLS failed: {_innermost(error)}", "check vault.tls"
        case NameResolutionError():
            return f"{urlsplit(address).hostname} has no address", "check the name and DNS"
        case ConnectTimeoutError():
            return "it does not accept a connection in time", "check host, port and firewall"
        case TimedOut():
            return "it did not answer in time", "check the server, or raise vault.timeout"
        case NewConnectionError():
            return _innermost(error), "check that the server runs and the address is right"
        case _:
            return _innermost(error), "check that the server runs and speaks HTTP there"


def _innermost(error: BaseException) -> str:
    """Name the system's reason at the bottom of the library's wrappings."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:200] or type(error).__name__
