"""The token: where it comes from, how long it lasts, and how it ends.

One session owns the token and its expiry; it belongs to the cluster, not to a node, so it is as
good on the next leader as on the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from raft_snapshot_agent.errors import ConfigError, Denied, ServerError
from raft_snapshot_agent.vault.answers import Answer, refusal
from raft_snapshot_agent.vault.auth.base import Auth, Prepared
from raft_snapshot_agent.vault.client import Node

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what is known of its life, in seconds of the monotonic clock."""

    value: str = field(repr=False)
    granted: float
    """Before the server was asked, so that it never ends earlier than we think."""
    ttl: float
    """Zero: it never ends, or somebody else looks after it."""
    renewable: bool = False
    ours: bool = False
    """Whether this session made it, and so may renew and must revoke it."""
    tried: float | None = None
    """When the last attempt to renew it got no answer."""

    @property
    def renew_at(self) -> float:
        """Two thirds of its life; after an attempt without an answer, half-way to its end."""
        if self.tried is not None:
            return (self.tried + self.ends_at) / 2
        return self.granted + self.ttl * 2 / 3 if self.ttl else float("inf")

    @property
    def ends_at(self) -> float:
        return self.granted + self.ttl if self.ttl else float("inf")


class Session:
    """A token that is always good. Safe to use from several threads."""

    def __init__(
        self,
        auth: Auth | None,
        *,
        namespace: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = auth
        self._namespace = namespace
        self._clock = clock
        self._lock = threading.RLock()
        self._token: Token | None = None
        self.logins = 0

    def authorised(self, node: Node, use: Callable[[str], _T]) -> _T:
        """Do something with a good token; log in again once where it is refused.

        Raises:
            Denied: Refused with a fresh token too: the policy does not allow it.
            ServerError: The login or the use itself failed.
        """
        token = self.token(node)
        try:
            return use(token)
        except Denied:
            fresh = self._replace(node, token)
            if fresh is None:
                raise
        return use(fresh)

    def token(self, node: Node) -> str:
        """Return a token that is not due for renewal; renew it or log in where it is."""
        with self._lock:
            if self._token is None or not self._token.ours:
                self._token = self._login(node)
            elif self._clock() >= self._token.renew_at:
                self._token = self._renewed(node, self._token) or self._login(node)
            return self._token.value

    def keep(self, node: Node) -> None:
        """Renew the token where that is due; one that may not be renewed is let go.

        It never logs in: the next use does, and a daemon that only waits provokes no lockout.
        """
        with self._lock:
            if self._token is not None and self._clock() >= self._token.renew_at:
                self._token = self._renewed(node, self._token)

    def seconds_to_renewal(self) -> float:
        """Say when `keep` has something to do; infinity where the token needs no care."""
        token = self._token
        return float("inf") if token is None else max(0.0, token.renew_at - self._clock())

    def revoke(self, node: Node) -> None:
        """End the token where this session made it; a server that refuses is no matter."""
        with self._lock:
            token, self._token = self._token, None
            if token is None or not token.ours or self._clock() >= token.ends_at:
                return
            self._post(node, "auth/token/revoke-self", token.value)

    def _replace(self, node: Node, refused: str) -> str | None:
        """Log in anew unless that cannot yield another token."""
        with self._lock:
            if self._token is not None and self._token.value == refused:
                # It may be a good one that lacks a right: it must not outlive its use.
                self.revoke(node)
            fresh = self.token(node)
            return fresh if fresh != refused else None

    def _login(self, node: Node) -> Token:
        if self._auth is None:
            raise ConfigError(
                "there is no way to log in",
                hint="set vault.auth in the configuration, or VAULT_TOKEN",
            )
        if isinstance(self._auth, Prepared):
            self._auth.prepare(partial(node.call, namespace=self._namespace))
        login = self._auth.login()
        if isinstance(login, str):
            return Token(login, granted=self._clock(), ttl=0)
        self.logins += 1
        asked = self._clock()
        answer = node.call("POST", login.path, body=login.body, namespace=self._namespace)
        token = _granted(answer, asked)
        if token is None:
            raise self._refused(node, answer, login.path)
        return token

    def _renewed(self, node: Node, token: Token) -> Token | None:
        """Renew; nothing where that is refused, or no longer worth while near the maximum."""
        asked = self._clock()
        if not token.renewable or asked >= token.ends_at:
            return None
        body = {"increment": f"{int(token.ttl)}s"}
        answer = self._post(node, "auth/token/renew-self", token.value, body)
        if answer.status not in (200, 400, 403, 404):
            return replace(token, tried=self._clock())
        renewed = _granted(answer, asked)
        return renewed if renewed is not None and renewed.ttl > token.ttl / 2 else None

    def _post(
        self, node: Node, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> Answer:
        try:
            return node.call("POST", path, token=token, body=body, namespace=self._namespace)
        except ServerError:
            return Answer(0, {})

    def _refused(self, node: Node, answer: Answer, path: str) -> ServerError:
        method, advice = (self._auth.method, self._auth.advice) if self._auth else ("", "")
        if answer.status in (400, 403, 404):
            return Denied(
                f"login with {method} at {node.address} was refused ({path}):"
                f" {answer.errors or answer.status}",
                hint=advice,
            )
        if answer.status == 200:
            return Denied(
                f"login with {method} at {node.address} gave no token",
                hint="check vault.auth.mount, and that the role needs no MFA",
            )
        return refusal(answer, node.address, path)


def _granted(answer: Answer, now: float) -> Token | None:
    auth = answer.body.get("auth")
    if answer.status != 200 or not isinstance(auth, dict) or not auth.get("client_token"):
        return None
    return Token(
        value=str(auth["client_token"]),
        granted=now,
        ttl=float(auth.get("lease_duration") or 0),
        renewable=auth.get("renewable") is True,
        ours=True,
    )
