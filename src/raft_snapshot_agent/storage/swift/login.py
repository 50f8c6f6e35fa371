"""Logs in to Swift: by Keystone version 3, Swift's own login, or a given token."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import ConfigError, LoginRefused, StorageError
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.http.http import Http, refusal, told_by
from raft_snapshot_agent.storage.objectstore.connection import environment, server_url
from raft_snapshot_agent.storage.swift.options import SwiftOptions

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_FRESH = 300.0
"""Seconds until the next login: far less than a token's lifetime, so that none expires in use."""
_CREDENTIALS = "check username and password, project and domains, or the application credential"
_ADDRESS = "check auth_url"
_LOGIN = (
    "auth_url",
    "username",
    "password",
    "project_name",
    "application_credential_id",
    "application_credential_secret",
)
_INSTEAD_OF_LOGIN = frozenset({"storage_url", "auth_token"})


@dataclass(frozen=True, slots=True)
class SwiftAccess:
    """URL of an account, and the token for it."""

    storage_url: str
    token: str = field(repr=False)


def check_login(settings: SwiftOptions) -> None:
    """Check that configuration and environment have a complete login; no I/O.

    Raises:
        ConfigError: They have not.
    """
    given = _Given(settings)
    if given.optional("storage_url") and given.optional("auth_token"):
        return
    if _is_own(given.required("auth_url")):
        given.required("username")
        given.required("password")
    else:
        _identity(given)


def locate_account(settings: SwiftOptions) -> tuple[str, tuple[str, ...]]:
    """Return what distinguishes the account from others, without a login.

    Returns:
        The account's URL, or the one of the login; and what tells which account of that it is.
        The project of an application credential is only known to Keystone.
    """
    given = _Given(settings)
    if url := given.optional("storage_url"):
        return url, ()
    auth_url = given.required("auth_url")
    if _is_own(auth_url):
        return auth_url, (given.required("username").partition(":")[0],)
    server = auth_url.rstrip("/").removesuffix("/v3")
    return server, () if given.by_application else _project(given)


class SwiftLogin:
    """Logs in when needed; thread-safe."""

    def __init__(self, settings: SwiftOptions, http: Http) -> None:
        self._settings = settings
        self._http = http
        self._lock = Lock()
        self._access: SwiftAccess | None = None
        self._until = 0.0

    def access(self) -> SwiftAccess:
        """Return a recent token.

        Raises:
            ConfigError: A setting or a secret is missing.
        """
        with self._lock:
            if self._access is None or time.monotonic() > self._until:
                self._access = self._entered(_Given(self._settings))
                self._until = time.monotonic() + _FRESH
            return self._access

    def forget(self) -> bool:
        """Log in again the next time; that may always help."""
        with self._lock:
            self._access = None
        return True

    def _entered(self, given: _Given) -> SwiftAccess:
        url, token = given.optional("storage_url"), given.optional("auth_token")
        if url and token:
            return SwiftAccess(self._check_url(url), token)
        auth_url = self._check_url(given.required("auth_url"))
        if _is_own(auth_url):
            return self._own(auth_url, given)
        return self._keystone(auth_url, given, url)

    def _own(self, auth_url: str, given: _Given) -> SwiftAccess:
        headers = {
            "x-auth-user": given.required("username"),
            "x-auth-key": given.required("password"),
        }
        doing = f"cannot log in at {auth_url}"
        answer = self._http.ask(doing, "GET", auth_url, headers)
        token, url = answer.headers.get("x-auth-token"), answer.headers.get("x-storage-url")
        if answer.status not in {200, 204} or not token or not url:
            raise _refused(doing, answer)
        return SwiftAccess(self._check_url(given.optional("storage_url") or url), token)

    def _keystone(self, auth_url: str, given: _Given, storage_url: str | None) -> SwiftAccess:
        url = f"{auth_url.removesuffix('/v3')}/v3/auth/tokens"
        doing = f"cannot log in at {url}"
        body = json.dumps({"auth": _identity(given)}).encode()
        answer = self._http.ask(doing, "POST", url, {"content-type": "application/json"}, body)
        token = answer.headers.get("x-subject-token")
        if answer.status not in {200, 201} or not token:
            raise _refused(doing, answer)
        region = given.optional("region_name")
        return SwiftAccess(self._check_url(storage_url or _endpoint(doing, answer, region)), token)

    def _check_url(self, url: str) -> str:
        try:
            refuse_plain_http(address := server_url(url), self._settings.allow_http)
        except ValueError as error:
            raise ConfigError(f"the address {url}: {error}", hint=_ADDRESS) from error
        return address


class _Given:
    """The settings, with missing ones from the environment.

    What stands for a whole login is not taken from there if the settings have a login of their own.
    """

    def __init__(self, settings: SwiftOptions) -> None:
        self._settings = settings
        has_login = any(getattr(settings, key) is not None for key in _LOGIN)
        self._kept_out = _INSTEAD_OF_LOGIN if has_login else frozenset()

    def optional(self, key: str) -> str | None:
        value = getattr(self._settings, key)
        if isinstance(value, Secret):
            return value.resolve()
        if value or key in self._kept_out:
            return value or None
        return environment(f"OS_{key.upper()}")

    def required(self, key: str) -> str:
        if value := self.optional(key):
            return value
        why = f"neither {key} nor $OS_{key.upper()} is set"
        raise ConfigError(why, hint="set one, or source your project's RC file")

    @property
    def by_application(self) -> bool:
        """Whether to log in with an application credential instead of a user."""
        given = self._settings
        is_user = given.username is not None or given.password is not None
        return not is_user and bool(self.optional("application_credential_id"))


def _is_own(auth_url: str) -> bool:
    return auth_url.rstrip("/").rpartition("/")[2].startswith("v1")


def _identity(given: _Given) -> dict[str, Any]:
    """Return the body of a token request. Source: Identity API v3, `POST /v3/auth/tokens`."""
    if given.by_application:
        credential = {
            "id": given.required("application_credential_id"),
            "secret": given.required("application_credential_secret"),
        }
        method = "application_credential"
        return {"identity": {"methods": [method], method: credential}}
    user = {
        "name": given.required("username"),
        "domain": {"name": given.optional("user_domain_name") or "Default"},
        "password": given.required("password"),
    }
    name, domain = _project(given)
    project = {"name": name, "domain": {"name": domain}}
    return {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project},
    }


def _project(given: _Given) -> tuple[str, str]:
    """Return the name of the project and its domain."""
    return given.required("project_name"), given.optional("project_domain_name") or "Default"


def _endpoint(doing: str, answer: BaseHTTPResponse, region: str | None) -> str:
    """Return the URL of the object store in the catalog of a token."""
    try:
        catalog = read_json(answer.data)["token"]["catalog"]
        stores = [
            endpoint
            for service in catalog
            if service["type"] == "object-store"
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        ]
        regions = {str(store.get("region_id") or store.get("region")): store for store in stores}
        urls = {name: str(store["url"]) for name, store in regions.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{doing}: the answer has no catalog", hint=_ADDRESS) from error
    if region is None and len(urls) == 1:
        return next(iter(urls.values()))
    if region in urls:
        return urls[region]
    known = ", ".join(sorted(urls)) or "no region"
    where = f"in region {region}" if region else "that is the only one"
    raise StorageError(
        f"{doing}: the catalog has no object store {where}",
        hint=f"set region_name; there is one in {known}",
    )


def _refused(doing: str, answer: BaseHTTPResponse) -> StorageError:
    if answer.status in {401, 403}:
        why = f"{doing}: the login was refused ({told_by(answer)})"
        return LoginRefused(why, hint=_CREDENTIALS)
    if answer.status // 100 == 2:  # its body may contain a secret
        why = f"{doing}: the answer {answer.status} holds no token"
        return StorageError(why, hint=_ADDRESS)
    return refusal(doing, answer, denied=_CREDENTIALS, otherwise=_ADDRESS)
