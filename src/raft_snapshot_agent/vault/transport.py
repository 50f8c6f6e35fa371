"""Connections to a server: plain, TLS or unix socket, and their failures in plain words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.errors import ConfigError, Unreachable
from raft_snapshot_agent.vault.settings import TlsSettings

_CLIENT_CERTIFICATE = "set vault.tls.client_cert and vault.tls.client_key to a pair it accepts"


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
    if tls.skip_verify:
        urllib3.disable_warnings(InsecureRequestWarning)
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
    """Trust and answer as the settings say; pools of equal settings share what was loaded."""
    try:
        return _loaded(tls, _stamps(tls))
    except (OSError, ssl.SSLError) as error:
        files = [str(f) for f in (tls.ca_file, tls.ca_path, tls.client_cert, tls.client_key) if f]
        raise ConfigError(
            f"vault.tls: cannot use {', '.join(files)}: {error.strerror or error}",
            hint="give readable PEM files that belong together",
        ) from error


@lru_cache(maxsize=16)
def _loaded(tls: TlsSettings, _: tuple[object, ...]) -> ssl.SSLContext:
    """Load what may be a megabyte, as it is at the moment that the stamps tell of."""
    context = ssl.create_default_context(cafile=tls.ca_file, capath=tls.ca_path)
    # OpenSSL finds only files whose names are hashes; the server's own clients read them all.
    for file in _files_in(tls.ca_path):
        context.load_verify_locations(file)
    if tls.client_cert is not None:
        # Without a password, an encrypted key would make OpenSSL ask for one on the terminal.
        context.load_cert_chain(tls.client_cert, tls.client_key, password="")
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _stamps(tls: TlsSettings) -> tuple[object, ...]:
    """Tell the present state of every file that is loaded: certificates are renewed in place."""
    usual = ssl.get_default_verify_paths().cafile
    bundle = tls.ca_file or (Path(usual) if usual else None)
    files = (bundle, tls.client_cert, tls.client_key, *_files_in(tls.ca_path))
    states = ((file, file.stat()) for file in files if file is not None)
    return tuple((file, one.st_mtime_ns, one.st_size, one.st_ino) for file, one in states)


def _files_in(folder: Path | None) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file()) if folder else []


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
def translated(address: str, patience: str = "timeout") -> Iterator[None]:
    """Turn what the HTTP library raises into one line for the operator.

    Arguments:
        address: Who was asked.
        patience: The setting below `vault` that says how long to wait for an answer.
    """
    try:
        yield
    except (HTTPError, OSError) as error:
        reason, hint = _explain(error, address, patience)
        raise Unreachable(f"cannot reach {address}: {reason}", hint=hint) from error


def _explain(error: Exception, address: str, patience: str) -> tuple[str, str]:
    match error:
        case SSLError():
            return _explain_tls(error)
        case NameResolutionError():
            return f"{urlsplit(address).hostname} has no address", "check the name and DNS"
        case NewConnectionError():
            return _innermost(error), "check that the server runs and the address is right"
        case ConnectTimeoutError():
            return "it does not accept a connection in time", "check host, port and firewall"
        case TimedOut():
            return "it did not answer in time", f"check the server, or raise vault.{patience}"
        case _:
            return _innermost(error), "check that the server runs and speaks HTTP there"


def _explain_tls(error: SSLError) -> tuple[str, str]:
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it speaks plain HTTP", "write the address with http:// or enable TLS there"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _untrusted(text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0])
    if "ALERT_CERTIFICATE_REQUIRED" in text:
        return "it wants a client certificate", _CLIENT_CERTIFICATE
    if "ALERT_BAD_CERTIFICATE" in text or "ALERT_UNKNOWN_CA" in text:
        return "it refuses our client certificate", _CLIENT_CERTIFICATE
    return f"TLS failed: {_innermost(error)}", "check vault.tls"


def _untrusted(reason: str) -> tuple[str, str]:
    hint = "set vault.tls.ca_file to the authority that signed it"
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
