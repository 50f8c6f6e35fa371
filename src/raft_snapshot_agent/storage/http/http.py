"""Requests to stores that are asked in plain HTTP: bounded in time, told in plain words."""

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
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.network.deadline import stepwise
from raft_snapshot_agent.network.failures import broken_by_proxy, proxy_trouble, refused_by_proxy
from raft_snapshot_agent.network.pools import Pools
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.secret import header_value, one_line
from raft_snapshot_agent.storage.error_codes import hint_for_certificate
from raft_snapshot_agent.storage.objectstore.connection import trouble_at_proxy

if TYPE_CHECKING:
    import urllib3

__all__ = ["Http", "TlsOptions", "refusal"]

_CONNECT = 5.0
_LATER = "it may be temporary; check the store"
_BUSY = {408, 423, 425, 429, 498}
_SAID = 16 << 10
"""Bytes of a refusal that are read."""
_TEXT = re.compile(r"text/|json|xml", re.IGNORECASE)


class Http:
    """Asks any server, over connections that are kept; safe to share between threads."""

    def __init__(
        self, timeout: timedelta, trust: TlsOptions, proxy: ProxyAddress | None = None
    ) -> None:
        """Prepare; nothing is contacted.

        Arguments:
            timeout: How long a request may take, from its beginning to the end of its answer;
                where its body is sent in pieces, or its answer left to be read, each of these.
            trust: Which certificates are good.
            proxy: The one that the configuration names; by default the environment's.
        """
        self._seconds = timeout.total_seconds()
        self._pools = Pools(trust, proxy)

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
        """Make one request; what is answered is the caller's to judge.

        Arguments:
            doing: What fails if this does, such as `cannot list snapshots in https://…`.
            method: The verb.
            url: Encoded.
            headers: Beside those of every request.
            body: Sent in chunks unless it is `bytes` or `headers` tell its length.
            streaming: Leave the answer's body to be read, with `more`.
            most: Bytes of any other answer; by default what is no list has.

        Raises:
            StorageUnavailable: There was no answer.
            StorageError: The server is not who it should be, or answers too much.
        """
        import urllib3

        from raft_snapshot_agent.network.exchange import SMALL, exchange

        # As UTF-8, where the library would send Latin-1 or fail.
        given = {name: header_value(value, f"header {name}") for name, value in headers.items()}
        if "host" in given:  # as the library spells it, or a request to a proxy has two of them
            given["Host"] = given.pop("host")
        sent, piecewise = body, False
        if body is not None and not isinstance(body, bytes):
            sent, piecewise = stepwise(body, self._seconds), True
        # While a body is sent, the time to connect bounds each piece of it.
        connect = self._seconds if piecewise else min(_CONNECT, self._seconds)
        proxy = self._pools.through(url)
        pool = self._pools.pool(url, proxy)
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
        if proxy is not None and url.startswith("http:") and answer.status >= 400:
            self._note(proxy, doing, url, answer)
        return answer

    def more(self, doing: str, url: str, answer: urllib3.BaseHTTPResponse, size: int) -> bytes:
        """Read at most `size` bytes more of an answer; empty at the end.

        Raises:
            StorageUnavailable: They did not come.
        """
        from raft_snapshot_agent.network.exchange import read_on

        with self.translated(doing, url):
            return read_on(answer, size, self._seconds)

    @staticmethod
    def _note(proxy: Proxy, doing: str, url: str, answer: urllib3.BaseHTTPResponse) -> None:
        """Say that a refusal may be the proxy's, which without TLS is not to be told apart."""
        if answer.status == 407:
            answer.close()
            trouble = refused_by_proxy(407, answer.reason or "", proxy, url)
            raise trouble_at_proxy(f"{doing} through {proxy}", trouble)
        answer.reason = f"{answer.reason or ''} through {proxy}".strip()

    @contextmanager
    def translated(self, doing: str, url: str) -> Iterator[None]:
        """Turn errors of the HTTP library into one line for the operator."""
        from urllib3.exceptions import HTTPError

        proxy = self._pools.through(url)
        try:
            yield
        # Without the cause: some of these hold the request with its credentials.
        except (HTTPError, OSError) as error:
            if proxy is None:
                host = urlsplit(url).netloc or "the store"
                raise _disconnected(doing, host, error) from None
            raise _at_proxy(f"{doing} through {proxy}", proxy, url, error) from None


def _at_proxy(doing: str, proxy: Proxy, url: str, error: Exception) -> StorageError:
    from urllib3.exceptions import ProtocolError, ProxyError

    if isinstance(error, ProxyError):
        return trouble_at_proxy(doing, proxy_trouble(error, proxy, url))
    if isinstance(error, ProtocolError | OSError) and url.startswith("http:"):
        return trouble_at_proxy(doing, broken_by_proxy(proxy))
    return _disconnected(doing, urlsplit(url).netloc or "the store", error)


def refusal(
    doing: str, answer: urllib3.BaseHTTPResponse, *, denied: str, otherwise: str
) -> StorageError:
    """Translate an answer that is no success.

    Arguments:
        doing: What it was to be.
        answer: Its status decides; some of its body is read where that is text.
        denied: What to try when access is denied.
        otherwise: What to try when nothing more is known.
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
        return StorageUnavailable(why, hint=_LATER)
    return StorageError(why, hint=otherwise)


def told_by(answer: urllib3.BaseHTTPResponse) -> str:
    """Return status, reason and what the body says, as they stand in a message."""
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
    """Read the beginning of a body that is text; nothing where it does not arrive."""
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
            hint = "check what answers there: it is no store of this type"
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
    """Return the system's reason at the bottom of the library's wrappings; empty without one."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return f": {one_line(reason, LONGEST)}" if isinstance(reason, str) and reason.strip() else ""
