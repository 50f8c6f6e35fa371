"""Finds the Google credentials and obtains their tokens.

Tokens of a service account's key are signed here; those of a user are refreshed at Google; those of
an instance come from its metadata server; all other types need Google's library.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import ConfigError, LoginRefused, StorageError, reason_of
from raft_snapshot_agent.network.metadata import find_google_metadata
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.small_file import is_regular, read_file, read_text
from raft_snapshot_agent.storage.gcs.errors import LOGIN_HINT, GcsAnswer, login_refusal, tidy
from raft_snapshot_agent.storage.gcs.key import PrivateKey
from raft_snapshot_agent.storage.gcs.token import SCOPE, GcsToken
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.metadata import MetadataService, briefly
from raft_snapshot_agent.storage.http.patience import note_pause
from raft_snapshot_agent.storage.objectstore.connection import environment

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_TOKENS = "https://oauth2.googleapis.com/token"
_WELL_KNOWN = ".config/gcloud/application_default_credentials.json"
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
_PRODUCT = Path("/sys/class/dmi/id/product_name")
"""File that identifies the cloud of this host."""
_SECRET = {"private_key", "client_secret", "refresh_token", "access_token", "id_token"}
_HOUR = 3600.0
_SLOW = 30
"""Seconds that this host's clock may be ahead of Google's."""
_EARLY = 225.0
"""Seconds before expiry at which a token is replaced. Source: google-auth's `REFRESH_THRESHOLD`."""


class GcsLogin:
    """The present credentials, and their token while it is valid."""

    def __init__(
        self, http: Http, file: Path | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Store the arguments; no I/O.

        Arguments:
            http: Requests tokens.
            file: Credentials file; by default that of the environment.
            clock: Seconds of a monotonic clock.
        """
        self._http = http
        self._file = file
        self._clock = clock
        self._lock = Lock()
        self._token: GcsToken | None = None
        self._until = 0.0
        self._of: object = None
        self._kept = False

    def headers(self, doing: str) -> dict[str, str]:
        """Return the headers that authenticate a request.

        Raises:
            LoginRefused: There are no credentials, they cannot be used or are refused.
            StorageUnavailable: The token service did not answer.
        """
        try:
            with self._lock:
                return {"authorization": f"Bearer {self._current(doing).text}"}
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error

    def forget(self) -> bool:
        """Drop the token; return whether it had been used before, so that a new one may help."""
        with self._lock:
            self._token = None
            return self._kept

    def _current(self, doing: str) -> GcsToken:
        path = self._file or find_default_file()
        content = None if path is None else _read(path)
        self._kept = self._token is not None and self._of == content
        if self._token is None or self._of != content or self._clock() >= self._until:
            began = self._clock()
            self._token = _fresh(self._http, doing, path, content)
            self._of = content
            self._until = began + self._token.seconds - _EARLY
            self._kept = False
        return self._token


def _fresh(http: Http, doing: str, path: Path | None, content: bytes | None) -> GcsToken:
    if path is None or content is None:
        return _instance_token(http, doing)
    document = _document(path, content)
    with _explain_faults(path):
        match document["type"]:
            case "service_account":
                return self_signed(document, time.time())
            case "authorized_user":
                return _refresh(http, doing, document)
            case _:
                from raft_snapshot_agent.storage.gcs.federation import federated

                return federated(http, doing, path, document)


def check_credentials(path: Path) -> None:
    """Check that a credentials file can be read, and a key in it signs, without a request.

    Raises:
        ConfigError: It cannot be used.
    """
    document = _document(path, _read(path))
    with _explain_faults(path):
        match document["type"]:
            case "service_account":
                self_signed(document, time.time())
            case "authorized_user":
                _refresh_form(document)
            case _:
                from raft_snapshot_agent.storage.gcs.federation import open_credentials

                open_credentials(path, document)


@contextmanager
def _explain_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else tidy(str(error))
        raise _unusable(path, why) from None


def self_signed(document: dict[str, Any], now: float) -> GcsToken:
    """Sign a token with a service account's key, without a request to Google.

    Raises:
        KeyError: A field is missing in the document.
        ValueError: It contains no valid key.

    Source: Google's AIP-4111.
    """
    account = str(document["client_email"])
    key = PrivateKey.from_pem(str(document["private_key"]))
    header = {"alg": "RS256", "typ": "JWT", "kid": str(document.get("private_key_id", ""))}
    start = int(now) - _SLOW
    claims = {
        "iss": account,
        "sub": account,
        "scope": SCOPE,
        "iat": start,
        "exp": start + int(_HOUR),
    }
    text = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    return GcsToken(f"{text}.{_encode(key.sign(text.encode()))}", _HOUR - _SLOW)


def _refresh(http: Http, doing: str, document: dict[str, Any]) -> GcsToken:
    """Request a token for the user of `gcloud auth application-default login`."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    url = str(document.get("token_uri") or _TOKENS)
    answer = http.ask(doing, "POST", url, headers, _refresh_form(document))
    return _given(doing, "Google", answer)


def _refresh_form(document: dict[str, Any]) -> bytes:
    fields = ("client_id", "client_secret", "refresh_token")
    form = {"grant_type": "refresh_token", **{name: document[name] for name in fields}}
    return urlencode(form).encode()


def _instance_token(http: Http, doing: str) -> GcsToken:
    """Request a token from the metadata server of the instance or of GKE."""
    url = f"{find_google_metadata()}{_METADATA}?{urlencode({'scopes': SCOPE})}"
    ask = partial(briefly(http).ask, doing, "GET", url, {"Metadata-Flavor": "Google"})
    try:
        answer = _SERVICE.ask(doing, url, ask)
    except StorageError as error:
        if _on_google():
            raise
        why = error.message.removeprefix(f"{doing}: ")
        raise LoginRefused(
            f"{doing}: there are no credentials: neither a file of them nor a metadata server "
            f"({why})",
            hint=LOGIN_HINT,
        ) from None
    if answer.status == 404:
        why = f"{doing}: there are no credentials: the instance has no service account"
        raise LoginRefused(f"{why} ({GcsAnswer.of(answer)})", hint=LOGIN_HINT)
    return _given(doing, "the metadata server", answer)


def _given(doing: str, source: str, answer: BaseHTTPResponse) -> GcsToken:
    if answer.status != 200:
        raise note_pause(login_refusal(doing, source, GcsAnswer.of(answer)), answer)
    try:
        document = read_json(answer.data)
        return GcsToken(str(document["access_token"]), float(document["expires_in"]))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise LoginRefused(f"{doing}: {source} gave no token", hint=LOGIN_HINT) from None


def find_default_file() -> Path | None:
    """Return the file of the application default credentials, if there is one.

    Source: Google's AIP-4110.
    """
    named = environment("GOOGLE_APPLICATION_CREDENTIALS")
    if named is not None:
        return Path(named)
    folder = environment("CLOUDSDK_CONFIG")
    home = environment("HOME") or "/nonexistent"
    left_by_gcloud = Path(folder, Path(_WELL_KNOWN).name) if folder else Path(home, _WELL_KNOWN)
    return left_by_gcloud if is_regular(left_by_gcloud) else None


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise _unusable(path, reason_of(error)) from error


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = read_json(content)
    except ValueError:
        raise _unusable(path, "it is not JSON") from None
    if isinstance(document, dict) and "type" in document:
        for secret in _secrets(document):
            remember(secret)
        return document
    raise _unusable(path, "it does not say of which type they are")


def _secrets(document: Any) -> Iterator[str]:
    """List the secret values in credentials, at any depth of the document."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in _SECRET and isinstance(value, str):
                yield value
            yield from _secrets(value)


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"cannot use the Google credentials in {path}: {why}", hint=LOGIN_HINT)


def _on_google() -> bool:
    try:
        return "Google" in read_text(_PRODUCT)
    except OSError:
        return False


_SERVICE = MetadataService(_on_google)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
