"""Obtains, renews and revokes the token.

One session owns the token and its expiry. The token belongs to the cluster, not to a node, so it
stays valid when the leader changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from raft_snapshot_agent.errors import AgentError, ConfigError, Denied, ServerError
from raft_snapshot_agent.vault.answers import Answer
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.base import Auth, Login, Prepared
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.login_backoff import LoginBackoff
from raft_snapshot_agent.vault.login_errors import explain_failed_login
from raft_snapshot_agent.vault.revocation import revoke_token
from raft_snapshot_agent.vault.token import Token, in_namespace, parse_token

_T = TypeVar("_T")
_SOON = 300.0
"""Seconds after which a login is tried again that failed without a refusal, or was useless."""
_MOST_FAILURES = 3
"""Consecutive tests that fail so before it is told: by then no election is the cause."""


class Session:
    """Provides a valid token; thread-safe."""

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
        self._refused: LoginBackoff | None = None
        self._tried_at = clock()
        self.doubted = False
        """Whether the login failed when it was last tested."""
        self._failures = 0
        """Consecutive tests of the login that failed without a refusal."""
        self._proved = ""
        """The token that the server last accepted."""
        self.logins = 0
        self.node: Node | None = None
        """The node for which a token was last needed; it is renewed and revoked there."""
        self.unrevoked: Denied | None = None
        """Why the last token was not revoked; `None` if it was."""

    def with_token(self, node: Node, use: Callable[[str], _T], *, lasting: float = 0) -> _T:
        """Call a function with a valid token; log in again once if the token is refused.

        Arguments:
            node: Node for a login or renewal.
            use: Function called with the token.
            lasting: Seconds that the call may take; a token that could expire is renewed first.

        Raises:
            Denied: A new token was refused, too: the policy does not allow the request.
            ServerError: The login or the call failed.
        """
        token = self.token(node, lasting=lasting)
        try:
            return self._prove(use, token)
        except Denied as error:
            self._blame_namespace(error, token)
            fresh = self._replace(node, token)
            if fresh is None:
                raise
        return self._prove(use, fresh)

    def token(self, node: Node, *, lasting: float = 0) -> str:
        """Return a token for one use; renew it or log in if needed."""
        with self._lock:
            self.node, token, now = node, self._token, self._clock()
            if token is None or not token.ours or token.dead(now):
                token = self._login(node)
            elif now >= token.renew_at:
                token = self._renew_token(node, token) or self._login(node)
            elif token.worn(now, lasting):
                token = self._renew_token(node, token) or token
            self._token = token if token.uses is None else replace(token, uses=token.uses - 1)
            return token.value

    def keep(self, node: Node) -> None:
        """Renew the token if it is due; drop one that is not renewable.

        It never logs in, which the next use does, so that an idle daemon cannot cause a lockout.
        """
        with self._lock:
            if self._token is not None and self._clock() >= self._token.renew_at:
                self._token = self._renew_token(node, self._token)

    def try_login(self, node: Node, every: float) -> bool:
        """Test the login, if due, with an additional token that is revoked at once.

        A token can outlive its credentials; this finds that before the token expires.

        Arguments:
            node: Node for the login.
            every: Seconds between logins, tests included; 0: never.

        Returns:
            Whether a login was tried and succeeded.

        Raises:
            Denied: The login was refused, now or before a pause.
            AgentError: The credentials could not be read, or the login failed repeatedly while the
                node knew a leader.
        """
        with self._lock:
            if not self.is_login_check_due(every):
                return False
            self._tried_at = now = self._clock()
            try:
                token = self._login(node)
            except Denied as error:
                self.doubted = True
                told = error if self._refused is None else self._refused.error
                raise told.with_traceback(None) from None
            except ServerError:  # no refusal, as in an election: try again soon
                self._tried_at = now - every + min(every, _SOON)
                self._failures += 1
                if self._failures >= _MOST_FAILURES and _knows_leader(node):
                    self.doubted = True
                    raise
                self._failures %= _MOST_FAILURES
                return False
            except AgentError:  # the credentials could not be read
                self.doubted = True
                raise
            self._tried_at, self._failures, self.doubted = now, 0, False
            if token.ours:
                self._revoke(node, token)
            return True

    def inherit(self, before: Session) -> None:
        """Have the login tested soon if that of the session before failed, which this one replaces.

        What the server refused there is not sent again before its pause has ended.
        """
        if before.doubted:
            self.doubted, self._refused = True, before._refused
            self._tried_at = float("-inf")

    def is_login_check_due(self, every: float) -> bool:
        """Return whether `try_login` has something to do."""
        return bool(every) and self._may_try and self._clock() >= self._tried_at + every

    @property
    def _may_try(self) -> bool:
        """Return whether an additional login uses up nothing, such as a limited secret ID."""
        wrapped = isinstance(self._auth, AppRoleAuth) and self._auth.wrapped
        return (self.logins > 0 or self.doubted) and not wrapped

    def seconds_to_renewal(self) -> float:
        """Return the seconds until the renewal is due; infinity if never."""
        token = self._token
        return float("inf") if token is None else max(0.0, token.renew_at - self._clock())

    def seconds_to_end(self) -> float:
        """Return the seconds until the token expires; infinity if never, or without a token."""
        token = self._token
        return float("inf") if token is None else max(0.0, token.ends_at - self._clock())

    @property
    def uses(self) -> int | None:
        """Number of requests that the token still allows; `None` if unlimited."""
        return None if self._token is None else self._token.uses

    def revoke(self, node: Node) -> None:
        """Revoke the token if this session created it; ignore a refusal."""
        with self._lock:
            token, self._token = self._token, None
            if token is None or not token.ours or token.dead(self._clock()):
                return
            self._revoke(node, token)

    @property
    def left_behind(self) -> list[str]:
        """Why the last token was not revoked, as a list of at most one text."""
        return [] if self.unrevoked is None else [str(self.unrevoked)]

    def _is_left_behind(self, token: Token) -> bool:
        """Return whether a login is useless for now: its token neither works nor can be revoked."""
        useless = self.unrevoked is not None and token.value != self._proved
        return useless and token.ours and self._clock() < token.granted + _SOON

    def _prove(self, use: Callable[[str], _T], token: str) -> _T:
        """Call a function with a token, and note that the server accepted it."""
        used = use(token)
        self._proved = token
        return used

    def _revoke(self, node: Node, token: Token) -> None:
        worked = token.value == self._proved
        self.unrevoked = revoke_token(node, token.value, self._namespace, worked=worked)

    def _blame_namespace(self, error: Denied, value: str) -> None:
        """Raise if the token was created in a namespace, where a new login would not help."""
        if in_namespace(value):
            raise Denied(
                f"{error.message}: the token was made in a namespace",
                hint="snapshots exist in the root namespace only: log in there, without"
                " vault.namespace",
            ) from error

    def _replace(self, node: Node, refused: str) -> str | None:
        """Log in again, unless that would return the same token, or leave many behind."""
        with self._lock:
            if self._token is not None and self._token.value == refused:
                if self._is_left_behind(self._token):
                    return None
                # It may be valid but lack a capability, so it must be revoked.
                self.revoke(node)
            fresh = self.token(node)
            return fresh if fresh != refused else None

    def _login(self, node: Node) -> Token:
        if self._auth is None:
            raise ConfigError(
                "no login is configured",
                hint="set vault.auth in the configuration, or VAULT_TOKEN",
            )
        if isinstance(self._auth, Prepared):
            self._auth.prepare(partial(node.call, namespace=self._namespace))
        login = self._auth.login()
        if isinstance(login, str):
            return Token(login, granted=self._clock(), ttl=0)
        if self._refused is not None:
            self._refused.check(login, self._clock())
        return self._log_in_with(node, self._auth, login)

    def _log_in_with(self, node: Node, auth: Auth, login: Login) -> Token:
        self.logins += 1
        asked = self._clock()
        answer = node.call("POST", login.path, body=login.body, namespace=self._namespace)
        token = parse_token(answer, asked)
        if token is not None:
            self._refused = None
            # After a refusal, test it again at once, which tells that it is over.
            self._tried_at = float("-inf") if self.doubted else asked
            self.doubted = False
            return token
        error = explain_failed_login(auth, node.address, login, answer)
        if isinstance(error, Denied) and auth.counted:
            self._refused = LoginBackoff.now(login, error, asked, self._refused)
        raise error

    def _renew_token(self, node: Node, token: Token) -> Token | None:
        """Renew the token; return `None` if refused, or if it is near its maximum TTL."""
        asked = self._clock()
        if not token.renewable or asked >= token.ends_at:
            return None
        body = {"increment": f"{int(token.ttl)}s"}
        answer = self._post(node, "auth/token/renew-self", token.value, body)
        if answer.status not in (200, 400, 403, 404):
            return replace(token, tried=self._clock())
        renewed = parse_token(answer, asked)
        return renewed if renewed is not None and renewed.ttl > token.ttl / 2 else None

    def _post(
        self, node: Node, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> Answer:
        try:
            return node.call("POST", path, token=token, body=body, namespace=self._namespace)
        except ServerError:
            return Answer(0, {})


def _knows_leader(node: Node) -> bool:
    try:
        return bool(node.leader_status().leader_address)
    except ServerError:
        return False
