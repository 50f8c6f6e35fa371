"""Check the content of a restored copy: mounts, policies, canaries, issuers."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sized
from datetime import datetime
from urllib.parse import unquote

from raft_snapshot_agent.config.drill import CanarySettings, DrillSettings
from raft_snapshot_agent.errors import ConfigError, DrillFailed, NothingThere, ServerError
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.restore.issuers import prove_issuer
from raft_snapshot_agent.restore.living_copy import (
    Server,
    find_place,
    list_names,
    read_data,
    require_data,
)
from raft_snapshot_agent.vault.auth.base import Auth, Login

_COUNTED = (("sys/mounts", "mounts"), ("sys/auth", "logins"))
_NO_ADDRESS = "failed to get connection information"
"""The error of an AppRole that is bound to addresses."""


def prove(server: Server, settings: DrillSettings, now: datetime) -> Iterator[str]:
    """Check all that is configured, one after the other, and yield what was found.

    Raises:
        DrillFailed: Something is missing or wrong.
    """
    yield from _counts(server)
    for number, canary in enumerate(settings.canaries, 1):
        _prove_canary(server, canary, f"canary {number} of {len(settings.canaries)}")
    if settings.canaries:
        yield _write_count(settings.canaries, "canaries read")
    if settings.login is not None:
        yield _prove_login(server, settings.login)
    for issuer in settings.issuers:
        prove_issuer(server, issuer, now)
    if settings.issuers:
        yield _write_count(settings.issuers, "issuers that lead to their root")


def _counts(server: Server) -> Iterator[str]:
    try:
        for path, what in _COUNTED:
            yield _write_count(require_data(server.ask("GET", path), path), what)
        yield _write_count(list_names(server, "sys/policies/acl"), "policies")
    except ServerError as error:
        raise DrillFailed(f"it is active, but does not show its mounts: {error.message}") from error


def _write_count(things: Sized, what: str) -> str:
    return f"{what}: {len(things)}"


def _prove_canary(server: Server, canary: CanarySettings, which: str) -> None:
    """Compare a value with the configured one; neither is ever shown."""
    at = f"{which} ({canary.path}, field {canary.field})"
    try:
        found = read_data(server, find_place(server, canary.path))
    except NothingThere as error:
        raise DrillFailed(f"{at}: {error.message}", noted=f"{which} is missing") from error
    except ServerError as error:
        raise DrillFailed(f"{at}: {error.message}", noted=f"{which} cannot be read") from error
    if canary.field not in found:
        raise DrillFailed(f"{at}: there is no such field", noted=f"{which} has no such field")
    if not _is_as_known(_text(found[canary.field]), canary):
        raise DrillFailed(f"{at} is not what it should be", noted=f"{which} is different")


def _prove_login(server: Server, auth: Auth) -> str:
    """Log in to the copy; the token ends with the copy."""
    login = auth.login()
    assert isinstance(login, Login)  # noqa: S101 - the settings take no other
    # The path is already quoted, and the request would quote it again.
    path = unquote(login.path)
    answer = server.ask("POST", path, login.body)
    document = answer.document if isinstance(answer.document, dict) else {}
    token = (document.get("auth") or {}).get("client_token")
    if answer.status != 200 or not token:
        why = f"{answer.status}: {answer.errors}"
        if _NO_ADDRESS in why or _is_bound_user(server, path):
            raise ConfigError(
                f"drill.login is bound to addresses, and requests to the copy have none: {why}",
                hint="give it a login without bound CIDRs",
            )
        raise DrillFailed(
            f"the login by {auth.method} was refused: {why} ({auth.advice})",
            noted=f"the login by {auth.method} was refused",
        )
    remember(str(token))
    return f"login by {auth.method}"


def _is_bound_user(server: Server, path: str) -> bool:
    """Return whether a user of `userpass` may log in only from some addresses."""
    document = server.ask("GET", path.replace("/login/", "/users/")).document
    user = document.get("data") if isinstance(document, dict) else None
    return isinstance(user, dict) and bool(user.get("token_bound_cidrs"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _is_as_known(value: str, canary: CanarySettings) -> bool:
    remember(value)
    if canary.sha256 is not None:
        return hashlib.sha256(value.encode()).hexdigest() == canary.sha256
    if canary.matches is not None:
        return re.fullmatch(canary.matches, value) is not None
    wanted = canary.equals_secret.resolve() if canary.equals_secret else ""
    return hmac.compare_digest(value.encode(), wanted.encode())
