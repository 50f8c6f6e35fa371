"""Exchanges an external token for Google credentials, with Google's library.

The library uses the agent's connections, so that proxies, time-outs and `ca_file` apply to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.errors import ConfigError, LoginRefused, reason_of
from raft_snapshot_agent.fields import require_extra
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.small_file import read_text
from raft_snapshot_agent.storage.gcs.errors import LOGIN_HINT, GcsAnswer, login_refusal, tidy
from raft_snapshot_agent.storage.gcs.token import SCOPE, GcsToken
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.patience import note_pause

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_HOUR = 3600.0
_KINDS = {"external_account", "external_account_authorized_user", "impersonated_service_account"}
_FILES = {"file", "certificate_config_location", "trust_chain_path"}
_KEPT = "output_file"
"""Keys in `credential_source` that name files."""
_CHECK = "check the pool, the provider, the service account and who may impersonate it"


class Transport:
    """Transport for Google's library.

    Source: `google.auth.transport.Request`.
    """

    def __init__(self, http: Http, doing: str) -> None:
        self._http = http
        self._doing = doing

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> BaseHTTPResponse:
        """Make a request; return refusals to the library, but raise those worth a retry."""
        content = body.encode() if isinstance(body, str) else body
        answer = self._http.ask(self._doing, method, url, headers or {}, content)
        if answer.status >= 500 or answer.status in {408, 429}:
            told = GcsAnswer.of(answer)
            error = login_refusal(self._doing, "the server that exchanges tokens", told)
            raise note_pause(error, answer)
        return answer


def federated(http: Http, doing: str, path: Path, document: dict[str, Any]) -> GcsToken:
    """Request a token as described by a credentials file.

    Raises:
        ConfigError: Google's library is not installed, or does not support the file.
        ValueError: The file is of no kind of credentials, or lacks a field.
        LoginRefused: The exchange was refused.
        StorageUnavailable: The token service did not answer.
    """
    credentials = open_credentials(path, document)
    from google.auth.exceptions import GoogleAuthError, OAuthError, RefreshError

    try:
        credentials.refresh(Transport(http, doing))
    except (OAuthError, RefreshError) as error:
        why = f"{doing}: the login was refused ({_reason(error)})"
        raise LoginRefused(why, hint=_CHECK) from None
    except (GoogleAuthError, OSError) as error:
        raise _unusable(path, error) from None
    return GcsToken(str(credentials.token), _left(credentials.expiry))


def open_credentials(path: Path, document: dict[str, Any]) -> Any:
    """Return the library's object for a credentials file, without a request.

    Raises:
        ConfigError: Google's library is not installed, or does not support the file.
        ValueError: The file is of no kind of credentials, or lacks a field.
    """
    if document["type"] not in _KINDS:
        raise ValueError(f"{document['type']} is no kind of credentials")
    what = f"the kind {document['type']} of the Google credentials in {path}"
    require_extra("gcs-federation", what, "google.auth")
    from google.auth.exceptions import GoogleAuthError

    _look_at_sources(document)
    try:
        return _credentials(document)
    except (GoogleAuthError, OSError) as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> ConfigError:
    why = f"cannot use the Google credentials in {path}: {_reason(error)}"
    return ConfigError(why, hint=LOGIN_HINT)


def _look_at_sources(document: Any) -> None:
    """Check the files that the library will read, and register their contents as secrets.

    Raises:
        ConfigError: One cannot be read or is invalid.
    """
    for file in _sources(document):
        try:
            remember(read_text(file).strip())
        except OSError as error:
            raise ConfigError(
                f"cannot read {file}, which the Google credentials name: {reason_of(error)}",
                hint="look at credential_source in the file of the credentials",
            ) from error


def _sources(document: Any) -> Iterator[Path]:
    """List the files named in the document; an executable's output file may not exist yet."""
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, str) and (key in _FILES or _is_kept(key, value)):
                yield Path(value)
            yield from _sources(value)


def _is_kept(key: str, path: str) -> bool:
    return key == _KEPT and Path(path).exists()


def _left(expiry: datetime | None) -> float:
    """Return the seconds until expiry, which the library has in UTC without a time zone."""
    if expiry is None:
        return _HOUR
    return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _reason(error: Exception) -> str:
    """Return the library's message, with the server's answer if that is separate."""
    told = tidy(str(error.args[0] if error.args else error))
    body = error.args[1] if len(error.args) > 1 else ""
    answer = GcsAnswer.read(0, body.encode()) if isinstance(body, str) else GcsAnswer(0, "", "")
    return told if not answer.message or answer.message in told else f"{told}: {answer.message}"


def _credentials(document: dict[str, Any]) -> Any:
    """Load credentials as `google.auth.default` does, but without requesting the project.

    Source: `google.auth.default`.
    """
    match document["type"]:
        case "impersonated_service_account":
            kind = _module("impersonated_credentials").Credentials
            return kind.from_impersonated_service_account_info(document, scopes=[SCOPE])
        case "external_account_authorized_user":
            kind = _module("external_account_authorized_user").Credentials
            return kind.from_info(document)
        case _:
            kind = _module(_external(document["credential_source"])).Credentials
            return kind.from_info(document, scopes=[SCOPE])


def _external(source: dict[str, Any]) -> str:
    if str(source.get("environment_id", "")).startswith("aws"):
        return "aws"
    return "pluggable" if "executable" in source else "identity_pool"


def _module(name: str) -> Any:
    return importlib.import_module(f"google.auth.{name}")
