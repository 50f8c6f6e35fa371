"""Sends one message over HTTP, limited in time and size; errors do not contain the URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from raft_snapshot_agent import __version__
from raft_snapshot_agent.error_text import LONGEST, read_document
from raft_snapshot_agent.errors import ConfigError, NotificationError
from raft_snapshot_agent.network.address import resolve_proxy
from raft_snapshot_agent.network.clear_text import in_clear
from raft_snapshot_agent.network.pools import is_plain, open_pool
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.network.reach import PrivateAddressRefused, private_target, public_only
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.notify.settings import HttpNotifierSettings
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.secret import header_value

if TYPE_CHECKING:
    import urllib3

_CONNECT = 5.0
_MOST = 64 << 10
"""Most bytes of an answer that are read."""
_PRIVATE = "set allow_private: true if that is where it should go"


def resolve_url(settings: HttpNotifierSettings) -> str:
    """Return the URL to which messages are sent.

    Raises:
        ConfigError: It is missing, not a URL, or not allowed.
    """
    url = settings.url.resolve()
    parts = _split(url)
    if parts.username is not None:
        raise ConfigError(
            f"url of {_origin(parts)} has a user name in it, which is not sent",
            hint="remove it, and give token",
        )
    proxy = _proxy(settings, url)
    if in_clear(url, proxy) and not settings.allow_http:
        raise ConfigError(
            f"url {_origin(parts)} is not encrypted", hint="use https, or set allow_http: true"
        )
    if not settings.allow_private and (where := private_target(url)):
        raise ConfigError(f"url leads to {where}, which is no public address", hint=_PRIVATE)
    return url


def post(settings: HttpNotifierSettings, url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Send one message; return a short form of the answer.

    Raises:
        NotificationError: The message was refused, or not answered in time.
        ConfigError: A file or the proxy's address cannot be used.
    """
    import urllib3

    from raft_snapshot_agent.network.exchange import exchange

    given = {name: header_value(value, f"header {name}") for name, value in headers.items()}
    given |= {"user-agent": f"raft-snapshot-agent/{__version__}", "accept-encoding": "identity"}
    seconds, proxy = settings.timeout.total_seconds(), _proxy(settings, url)
    guarded = proxy is None and not settings.allow_private
    with (
        open_pool(TlsOptions(settings.ca_file), proxy, tls=not is_plain(url)) as pool,
        public_only(url) if guarded else nullcontext(),
        _translate_errors(url, proxy),
    ):
        answer = exchange(
            pool,
            "POST",
            url,
            seconds=seconds,
            most=_MOST,
            encoded=True,
            body=body,
            headers=given,
            timeout=urllib3.Timeout(connect=min(_CONNECT, seconds), read=seconds),
        )
    return _judge(answer, _origin(urlsplit(url)))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(one.isspace() or not one.isprintable() for one in url):
        raise ConfigError("url is not a URL", hint="write it like https://hooks.example.com/path")
    return parts


def _origin(parts: SplitResult) -> str:
    """Return the part of a URL that may be shown; for many services its path is a secret."""
    return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", LONGEST)


def _proxy(settings: HttpNotifierSettings, url: str) -> Proxy | None:
    return route(url, resolve_proxy(settings.proxy))


def _judge(answer: urllib3.BaseHTTPResponse, where: str) -> str:
    status = f"{answer.status} {one_line(answer.reason or '', LONGEST)}".strip()
    if answer.status < 300:
        return status
    if answer.status < 400:
        raise NotificationError(
            f"{where} answered {status}: a redirect, which is not followed",
            hint="write the address that it leads to",
        )
    said = read_document(answer.data.decode("utf-8", "replace")).with_status(answer.status)
    mend = (
        "it may be temporary; check the service"
        if answer.status >= 500
        else "check url and secrets"
    )
    raise NotificationError(f"{where} answered {said}", hint=mend)


@contextmanager
def _translate_errors(url: str, proxy: Proxy | None) -> Iterator[None]:
    """Map errors of the HTTP library to one-line messages."""
    from urllib3.exceptions import HTTPError

    where = _origin(urlsplit(url))
    try:
        yield
    except PrivateAddressRefused as error:
        what = f"{where} leads to {error}, which is no public address; nothing was sent"
        raise NotificationError(what, hint=_PRIVATE) from None
    # Without the cause: some of these errors contain the request and its secrets.
    except (HTTPError, OSError) as error:
        raise _disconnected(where, url, error, proxy) from None


def _disconnected(where: str, url: str, error: Exception, proxy: Proxy | None) -> NotificationError:
    from urllib3.exceptions import NameResolutionError, NewConnectionError, ProxyError, SSLError
    from urllib3.exceptions import TimeoutError as TimedOut

    from raft_snapshot_agent.network.exchange import Unacceptable
    from raft_snapshot_agent.network.failures import proxy_trouble

    if proxy is not None and isinstance(error, ProxyError):
        trouble = proxy_trouble(error, proxy, url)
        return NotificationError(f"{where} through {proxy}: {trouble.why}", hint=trouble.hint)
    reason = _reason(error)
    match error:
        case Unacceptable():
            return NotificationError(f"{where}: {error}", hint="check what answers there")
        case SSLError():
            return NotificationError(f"no TLS with {where}{reason}", hint="check url and ca_file")
        case NameResolutionError():
            return NotificationError(f"{where} has no address", hint="check the name and DNS")
        case NewConnectionError() | ConnectionRefusedError():
            return NotificationError(f"no connection to {where}{reason}", hint="check url")
        case TimedOut() | TimeoutError():
            return NotificationError(f"no answer in time from {where}", hint="or raise timeout")
        case _:
            mend = "it may be temporary; check the service"
            return NotificationError(f"the connection to {where} broke{reason}", hint=mend)


def _reason(error: BaseException) -> str:
    """Return the operating system's reason from the innermost error; empty if there is none."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return f": {one_line(reason, LONGEST)}" if isinstance(reason, str) and reason.strip() else ""
