"""Makes HTTP requests to stores, with time limits and readable errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent import __version__
from raft_snapshot_agent.error_text import LONGEST, read_document
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.network.deadline import stepwise
from raft_snapshot_agent.network.failures import broken_by_proxy, proxy_trouble, refused_by_proxy
from raft_snapshot_agent.network.pools import Pools, is_plain
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.secret import header_value
from raft_snapshot_agent.storage.error_codes import hint_for_certificate
from raft_snapshot_agent.storage.http.patience import note_pause
from raft_snapshot_agent.storage.objectstore.connection import trouble_at_proxy

if TYPE_CHECKING:
    import urllib3

_CONNECT = 5.0
_LATER = "it may be temporary; check the store"
_BUSY = {408, 423, 425, 429, 498}
_SAID = 16 << 10
"""Most bytes of a refusal that are read."""
_TEXT = re.compile(r"text/|json|xml", re.IGNORECASE)


class Http:
    """HTTP client with reusable connections; thread-safe."""

    def __init__(
        self,
        timeout: timedelta,
        trust: TlsOptions,
        proxy: ProxyAddress | None = None,
        *,
        connect: float = _CONNECT,
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            timeout: Time limit of a request, to the end of its answer; or of each piece of a body
                that is sent in pieces or read later.
            trust: Trusted certificates.
            proxy: The configured proxy; by default that of the environment.
            connect: Most seconds to connect.
        """
        self._timeout, self._trust, self._proxy = timeout, trust, proxy
        self._seconds = timeout.total_seconds()
        self._connect = min(connect, self._seconds)
        self._pools = Pools(trust, proxy)

    def limited(self, *, connect: float, seconds: float) -> Http:
        """Return a client with lower time limits, in seconds."""
        timeout = min(timedelta(seconds=seconds), self._timeout)
        return Http(timeout, self._trust, self._proxy, connect=connect)

    def ask(
        self,
        doing: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes | memoryview] | None = None,
        *,
        streaming: bool = False,
        most: int | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Make one request; return any answer, whatever its status.

        Arguments:
            doing: Start of the error message, such as `cannot list snapshots in https://…`.
            method: HTTP method.
            url: Encoded URL.
            headers: Headers in addition to those of every request.
            body: Sent in chunks unless it is `bytes` or `headers` have its length.
            streaming: Return before the body is read, which `more` does.
            most: Most bytes of another answer; the default suits anything but a list.

        Raises:
            StorageUnavailable: There was no answer, or a file of certificates cannot be used.
            StorageError: The certificate is not trusted, or the answer too long.
        """
        import urllib3

        from raft_snapshot_agent.network.exchange import SMALL, exchange

        # As UTF-8, because the library would send Latin-1 or fail.
        given = {name: header_value(value, f"header {name}") for name, value in headers.items()}
        if "host" in given:  # in the library's spelling, or a request to a proxy has two of them
            given["Host"] = given.pop("host")
        sent, piecewise = body, False
        if body is not None and not isinstance(body, bytes):
            sent, piecewise = stepwise(body, self._seconds), True
        # While a body is sent, the connect time-out limits each piece of it.
        connect = self._seconds if piecewise else self._connect
        proxy = self._pools.through(url)
        try:
            pool = self._pools.pool(url, proxy)
        except ConfigError as error:  # as while a program renews a certificate
            raise StorageUnavailable(f"{doing}: {error.message}", hint=error.hint) from error
        with self.translated(doing, url):
            answer = exchange(
                pool,
                method,
                url,
                seconds=self._seconds,
                most=most or SMALL,
                streaming=streaming,
                body=sent,
                headers={
                    "user-agent": f"raft-snapshot-agent/{__version__}",
                    "accept-encoding": "identity",
                    **given,
                },
                chunked=piecewise and "content-length" not in headers,
                timeout=urllib3.Timeout(connect=connect, read=self._seconds),
            )
        if proxy is not None and is_plain(url) and answer.status >= 400:
            self._note(proxy, doing, url, answer)
        return answer

    def more(self, doing: str, url: str, answer: urllib3.BaseHTTPResponse, size: int) -> bytes:
        """Read at most `size` further bytes of an answer; empty at the end.

        Raises:
            StorageUnavailable: They could not be read.
        """
        from raft_snapshot_agent.network.exchange import read_on

        with self.translated(doing, url):
            return read_on(answer, size, self._seconds)

    @staticmethod
    def _note(proxy: Proxy, doing: str, url: str, answer: urllib3.BaseHTTPResponse) -> None:
        """Note that a refusal may come from the proxy, which cannot be known without TLS."""
        if answer.status == 407:
            answer.close()
            trouble = refused_by_proxy(407, answer.reason or "", proxy, url)
            raise trouble_at_proxy(f"{doing} through {proxy}", trouble)
        answer.reason = f"{answer.reason or ''} through {proxy}".strip()

    @contextmanager
    def translated(self, doing: str, url: str) -> Iterator[None]:
        """Map errors of the HTTP library to one-line errors."""
        from urllib3.exceptions import HTTPError

        try:
            yield
        # Without the cause: some of these errors contain the request and its credentials.
        except (HTTPError, OSError) as error:
            proxy = self._pools.through(url)
            if proxy is None:
                host = urlsplit(url).netloc or "the store"
                raise _disconnected(doing, host, error) from None
            raise _at_proxy(f"{doing} through {proxy}", proxy, url, error) from None


def _at_proxy(doing: str, proxy: Proxy, url: str, error: Exception) -> StorageError:
    from urllib3.exceptions import ProtocolError, ProxyError

    if isinstance(error, ProxyError):
        return trouble_at_proxy(doing, proxy_trouble(error, proxy, url))
    if isinstance(error, ProtocolError | OSError) and is_plain(url):
        return trouble_at_proxy(doing, broken_by_proxy(proxy))
    return _disconnected(doing, urlsplit(url).netloc or "the store", error)


def refusal(
    doing: str, answer: urllib3.BaseHTTPResponse, *, denied: str, otherwise: str
) -> StorageError:
    """Return the error for a refusal.

    Arguments:
        doing: Start of the error message.
        answer: The answer; some of its body is read if it is text.
        denied: Hint if access is denied.
        otherwise: Hint in other cases.
    """
    told = told_by(answer)
    if answer.status == 401:
        return LoginRefused(f"{doing}: the login was refused ({told})", hint=denied)
    if answer.status == 403:
        return StorageDenied(f"{doing}: access denied ({told})", hint=denied)
    if answer.status == 413:
        hint = "raise its limit for the size of a request, or the quota"
        return StorageError(f"{doing}: too large for the server ({told})", hint=hint)
    if answer.status == 507:
        return StorageFull(f"{doing}: no space left there ({told})", hint="make room there")
    why = f"{doing}: the store answered {told}"
    if 300 <= answer.status < 400:
        to = urlsplit(answer.headers.get("location", ""))
        hint = f"it points to {to.scheme}://{to.netloc}{to.path}: use that" if to.netloc else ""
        return StorageError(why, hint=hint or otherwise)
    if answer.status in {501, 505}:
        return StorageError(why, hint=f"the server does not know how to do this: {otherwise}")
    if answer.status in _BUSY or answer.status >= 500:
        return note_pause(StorageUnavailable(why, hint=_LATER), answer)
    return StorageError(why, hint=otherwise)


def told_by(answer: urllib3.BaseHTTPResponse) -> str:
    """Return status, reason and text of an answer, for a message."""
    status = f"{answer.status} {one_line(answer.reason or '', LONGEST)}".strip()
    said = read_document(_text_of(answer))
    text = said.text
    for known in (
        status,
        str(answer.status),
        answer.reason or "",
    ):  # error pages begin with them, often twice
        text = text.removeprefix(known).strip()
    more = " ".join(filter(None, (said.code, text)))
    return f"{status}: {more}" if more else status


def _text_of(answer: urllib3.BaseHTTPResponse) -> str:
    """Read the beginning of a body that is text; return empty if it cannot be read."""
    from urllib3.exceptions import HTTPError

    kind = answer.headers.get("content-type", "text/plain")
    if not _TEXT.search(kind):
        return ""
    try:
        document = answer.read(_SAID) or answer.data or b""
    except (HTTPError, OSError):
        return ""
    return document[:_SAID].decode(errors="replace")


def _disconnected(doing: str, host: str, error: Exception) -> StorageError:
    from urllib3.exceptions import (
        ConnectTimeoutError,
        NameResolutionError,
        NewConnectionError,
        SSLError,
    )
    from urllib3.exceptions import TimeoutError as TimedOut

    from raft_snapshot_agent.network.exchange import Unacceptable

    cause = _cause(error)
    match error:
        case Unacceptable():
            hint = "check what answers there: it is not a store of this type"
            return StorageError(f"{doing}: {host}: {error}", hint=hint)
        case SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            reason = str(error).partition("verify failed: ")[2].partition(" (_ssl")[0]
            reason = one_line(reason, LONGEST) or "verification failed"
            why = f"the TLS certificate is not trusted ({reason})"
            hint = hint_for_certificate(reason)
            return StorageError(f"{doing}: {why}", hint=hint)
        case SSLError():
            why = f"no TLS with {host}{cause}"
            return StorageError(f"{doing}: {why}", hint="check the port and https")
        case NameResolutionError():
            why, hint = f"{host} has no address", "check the name and DNS"
        case NewConnectionError() | ConnectionRefusedError():
            why, hint = (
                f"no connection to {host}{cause}",
                "check endpoint or address, and the network",
            )
        case ConnectTimeoutError() | TimedOut() | TimeoutError():
            why, hint = f"no answer in time from {host}", "on a slow link raise timeout"
        case _:
            why, hint = f"the connection to {host} broke{cause}", _LATER
    return StorageUnavailable(f"{doing}: {why}", hint=hint)


def _cause(error: BaseException) -> str:
    """Return the operating system's reason from the innermost error; empty if there is none."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return f": {one_line(reason, LONGEST)}" if isinstance(reason, str) and reason.strip() else ""
