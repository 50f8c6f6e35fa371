"""Access control, and the headers of every answer.

A page of another site can make a browser send requests to the agent, and another site's name can be
made to resolve to the agent (DNS rebinding). So a request must have a known host name, and come
from the agent's own pages.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.web.routes import ADDRESSES

_PUBLIC = frozenset(one.path for one in ADDRESSES if one.public)
LARGEST_BODY = 4096
"""Bytes."""
LARGEST_HEAD = 16 << 10
"""Maximum bytes of a request before its body."""
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason for refusing a request."""

    status: int
    error: str
    hint: str = ""
    headers: Mapping[str, str] | None = None

    def answer(self) -> JSONResponse:
        """Build the answer."""
        told = {"error": self.error} | ({"hint": self.hint} if self.hint else {})
        return JSONResponse(told, self.status, {"connection": "close", **(self.headers or {})})


class Gate:
    """Refuses requests before any work, and adds headers to every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        token: Callable[[], str | None],
        tell: Callable[[AgentError], None],
    ) -> None:
        """Wrap an application.

        Arguments:
            app: The application, called once a request is accepted.
            hosts: Names of this agent, in addition to addresses and localhost.
            token: Returns the required token; `None`: no token is required.
            tell: Called with an unexpected error.
        """
        self._app = app
        self._hosts = hosts
        self._token = token
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self.refuse(scope["method"], scope["path"], Headers(scope=scope))
        try:
            await (self._app if refusal is None else refusal.answer())(scope, receive, answer)
        except Exception as error:
            self._tell(as_failure(error))
            if begun:
                raise
            await Refusal(500, "the agent failed to answer; see its log").answer()(
                scope, receive, answer
            )

    def refuse(self, method: str, path: str, headers: Headers) -> Refusal | None:
        """Return why a request is refused; `None`: it is accepted."""
        if not _is_host(headers.get("host", ""), self._hosts):
            hint = "ask by address, or add the name to web.hosts"
            return Refusal(421, "this agent is not known by that name", hint)
        if _is_foreign(headers, method):
            return Refusal(403, "requests from other sites are refused")
        if (
            sum(4 + len(name) + len(value) for name, value in headers.raw) + len(path)
            > LARGEST_HEAD
        ):
            return Refusal(431, f"a request has at most {LARGEST_HEAD} bytes before its body")
        if int(_digits(headers.get("content-length", "0"))) > LARGEST_BODY:
            return Refusal(413, f"a body has at most {LARGEST_BODY} bytes")
        token = self._token()
        if token is None or path in _PUBLIC:
            return None
        return _check_token(headers.get("authorization", ""), token, method)


def _check_token(given: str, token: str, method: str) -> Refusal | None:
    """Check the token; as a browser's password it is accepted for reading only.

    Browsers resend passwords automatically, also for requests of other pages.
    """
    scheme, _, value = given.partition(" ")
    match scheme.lower():
        case "bearer":
            known = _readings(value.strip())
        case "basic" if method in ("GET", "HEAD"):
            known = (_password(value.strip()),)
        case _:
            known = ()
    if any(hmac.compare_digest(one, token.encode()) for one in known):
        return None
    wanted = {"www-authenticate": 'Basic realm="raft-snapshot-agent", charset="UTF-8"'}
    hint = "send it as `Authorization: Bearer TOKEN`; a browser: any user, the token as password"
    return Refusal(401, "the token is missing or wrong", hint, wanted)


def _readings(value: str) -> tuple[bytes, ...]:
    """Return the token in UTF-8, if the client sent a header in UTF-8, and if in Latin-1.

    Both are in use, and the server reads every header as Latin-1.
    """
    return value.encode("latin-1", "backslashreplace"), value.encode("utf-8", "replace")


def _password(text: str) -> bytes:
    try:
        return b64decode(text, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _is_host(header: str, known: Collection[str]) -> bool:
    """Return whether a `Host` header is an address, which is safe, or a name of this agent."""
    if header.startswith("["):
        name = header.partition("]")[0][1:]
    else:
        name = header.rpartition(":")[0] if ":" in header else header
    if name.lower() == "localhost" or name.lower() in known:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(headers: Headers, method: str) -> bool:
    """Return whether another site's page sends the request; following a link is allowed."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not link


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 19 else str(LARGEST_BODY + 1)
