"""Chooses the login: from the settings, else from the environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.storage.azure.identities import (
    AUTHORITY,
    INSTANCE,
    LOGIN_HINT,
    AzureCli,
    AzureToken,
    ManagedIdentity,
    ServicePrincipal,
    TokenSource,
    WorkloadIdentity,
)
from raft_snapshot_agent.storage.azure.options import AzureOptions
from raft_snapshot_agent.storage.azure.signing import (
    AzureIdentity,
    SharedKey,
    SharedSignature,
    Unsigned,
)
from raft_snapshot_agent.storage.objectstore.connection import environment

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.http.http import Http

_EARLY = 300.0
"""Seconds before expiry at which a token is replaced; at most half of its lifetime."""


class TokenCache:
    """Cache of the token of one storage's identity; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a token.

        Arguments:
            clock: Seconds of a monotonic clock.
        """
        self._clock = clock
        self._lock = Lock()
        self._token: AzureToken | None = None
        self._of: TokenSource | None = None
        self._until = 0.0
        self._kept = False

    def token(self, source: TokenSource, http: Http, doing: str) -> str:
        """Return a token that is valid for at least some minutes.

        Raises:
            StorageError: No token could be obtained.
        """
        with self._lock:
            now = self._clock()
            self._kept = self._token is not None and self._of == source and now < self._until
            if self._token is None or not self._kept:
                self._token = source.get(http, doing)
                self._of = source
                seconds = self._token.seconds
                self._until = now + seconds - min(_EARLY, seconds / 2)
            return self._token.text

    def forget(self) -> bool:
        """Drop the token; return whether it had been used before, so that a new one may help."""
        with self._lock:
            self._token = None
            return self._kept


@dataclass(frozen=True, slots=True)
class ByToken:
    """An identity authenticated by a token of Entra."""

    source: TokenSource
    http: Http
    cache: TokenCache
    query: Mapping[str, str] = field(default_factory=dict)

    def headers(self, doing: str, _request: Unsigned) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.cache.token(self.source, self.http, doing)}"}

    def forget(self) -> bool:
        return self.cache.forget()


def choose_identity(
    settings: AzureOptions, account: str, said: Mapping[str, str], http: Http, cache: TokenCache
) -> AzureIdentity:
    """Return the identity to log in with.

    Arguments:
        settings: Settings, which take precedence.
        account: Name of the account.
        said: Values of the connection string.
        http: Requests tokens.
        cache: Keeps tokens.

    Raises:
        ConfigError: The login is invalid.
    """
    return _by_key(settings, account, said) or ByToken(find_source(settings), http, cache)


def _by_key(
    settings: AzureOptions, account: str, said: Mapping[str, str]
) -> SharedKey | SharedSignature | None:
    key, token = said.get("AccountKey"), said.get("SharedAccessSignature")
    if said and not (key or token):
        raise ConfigError("the connection string holds an empty login", hint=LOGIN_HINT)
    if not said and settings.account_key is not None:
        key = settings.account_key.resolve()
    elif not said and settings.sas_token is not None:
        token = settings.sas_token.resolve()
    elif not said and settings.client_id is None:
        key = environment(
            "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"
        )
        token = environment("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
    if key:
        return SharedKey.of(account, key)
    return SharedSignature.of(token) if token else None


def find_source(settings: AzureOptions) -> TokenSource:
    """Return the source of tokens if there is neither a key nor a SAS.

    Raises:
        ConfigError: A secret is missing, or would be sent without TLS.
    """
    authority = issuer("AZURE_AUTHORITY_HOST", AUTHORITY)
    client = settings.client_id or environment("AZURE_CLIENT_ID")
    tenant = settings.tenant_id or environment("AZURE_TENANT_ID")
    if client and tenant:
        if secret := _client_secret(settings):
            return ServicePrincipal(authority, tenant, client, secret)
        if file := environment("AZURE_FEDERATED_TOKEN_FILE"):
            return WorkloadIdentity(authority, tenant, client, file)
    if settings.client_id is None and environment("AZURE_USE_AZURE_CLI") in {"true", "1"}:
        return AzureCli(settings.timeout.total_seconds())
    if environment("AZURE_MSI_ENDPOINT"):
        return ManagedIdentity(issuer("AZURE_MSI_ENDPOINT", INSTANCE), client)
    header = environment("IDENTITY_HEADER")
    return ManagedIdentity(issuer("IDENTITY_ENDPOINT", INSTANCE), client, header)


def _client_secret(settings: AzureOptions) -> str | None:
    if settings.client_secret is not None:
        return settings.client_secret.resolve()
    # The secret in the environment belongs to the client ID in the environment.
    return None if settings.client_id else environment("AZURE_CLIENT_SECRET")
