"""Azure Blob Storage."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from raft_snapshot_agent.core.lease import StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import issuer, refuse_plain_http
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.base import Entry, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objectstore.connection import (
    client_config,
    environment,
    retry_config,
    server_url,
)
from raft_snapshot_agent.storage.objectstore.endpoint import EndpointSettings
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.objectstore.lease_store import ObjectLeaseStore
from raft_snapshot_agent.storage.objectstore.objects import BucketLocation, ObjectStorage

if TYPE_CHECKING:
    from obstore.store import AzureConfig, AzureStore

_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_HINTS = Hints(
    rights="the role Storage Blob Data Contributor on the container, or a SAS with racwdl",
    login="set account_key, sas_token, connection_string or client_id, or give the instance "
    "a managed identity",
    address="check container, account_name and endpoint",
)
_AUTHORITY = "https://login.microsoftonline.com"
_SUFFIX = "core.windows.net"


def _container(name: str) -> str:
    if not _CONTAINER.fullmatch(name):
        raise ValueError("must be the bare name of a container; folders in it belong into prefix")
    return name


def _account(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise ValueError("must be the bare name of a storage account: no host, no URL")
    return name


class AzureSettings(EndpointSettings):
    """Snapshots in a container on Azure Blob Storage.

    Where no credentials are given those of the environment are used: the AZURE_STORAGE_*
    variables, then a service principal, a workload identity, the Azure CLI if
    AZURE_USE_AZURE_CLI says so, and the managed identity of the instance.
    """

    type: Literal["azure"]
    container: Annotated[str, AfterValidator(_container)]
    account_name: Annotated[str, AfterValidator(_account)] | None = None
    account_key: Secret | None = None
    sas_token: Secret | None = None
    connection_string: Secret | None = None
    client_id: str | None = None
    """Of a service principal, or of the workload's or the instance's identity."""
    client_secret: Secret | None = None
    tenant_id: str | None = None
    endpoint: Annotated[str, AfterValidator(server_url)] | None = None
    """Where the account answers, its name in the path included where it belongs there."""
    access_tier: Literal["Hot", "Cool", "Cold"] | None = None
    """What new blobs cost; the account's default when missing."""

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        keys = ("account_key", "sas_token", "connection_string", "client_secret")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not both")
        if self.client_secret is not None and not (self.client_id and self.tenant_id):
            raise ValueError("client_secret needs client_id and tenant_id")
        if self.endpoint is not None:
            _refuse_container_in(self.endpoint, self.container, self.account_name)
        return self

    def open(self) -> Storage:
        connect, listed = partial(_connect, self), partial(_listed, self)
        return ObjectStorage(self._where(), connect, _sweep, listed=listed)

    def check(self) -> None:
        """Make sure that an endpoint from the environment does not hold the container."""
        _account_config(self, _connection_string(self))

    def lease_store(self, name: str) -> StoredLeaseStore:
        return ObjectLeaseStore(self._where(), partial(_connect, self), name)

    def _where(self) -> BucketLocation:
        return BucketLocation(
            "azure",
            f"az://{self.container}",
            self.prefix,
            _HINTS,
            self.access_tier,
            proxy=self.proxy,
        )


def _connect(
    settings: AzureSettings,
    *,
    streaming: bool = False,
    writing: bool = False,  # noqa: ARG001 - any of its clients may write
) -> AzureStore:
    from obstore.store import AzureStore

    said = _connection_string(settings)
    config = _account_config(settings, said) | _login(settings, said)
    return AzureStore(
        settings.container,
        config={**config, "use_emulator": False, "skip_signature": False},
        client_options=client_config(
            config["endpoint"],
            settings.timeout,
            settings.ca_file,
            streaming=streaming,
            proxy=settings.proxy,
            others=_token_services(config),
        ),
        retry_config=retry_config(settings.timeout),
    )


def _listed(settings: AzureSettings, doing: str) -> list[Entry] | None:
    from raft_snapshot_agent.storage.azure.listing import AzureContainer, list_container
    from raft_snapshot_agent.storage.http.http import Http, TlsOptions

    said = _connection_string(settings)
    where, login = _account_config(settings, said), _login(settings, said)
    key, sas = login.get("account_key", ""), login.get("sas_key", "")
    container = AzureContainer(
        where["endpoint"], where["account_name"], settings.container, key, sas
    )
    if not container.usable:  # an identity's, whose tokens the library keeps to itself
        return None
    http = Http(settings.timeout, TlsOptions(settings.ca_file), settings.proxy)
    return list_container(doing, http, container, settings.prefix, _HINTS, settings.max_objects)


def _token_services(config: AzureConfig) -> list[str]:
    """List whom the library asks for tokens; beside those that are always asked directly."""
    if config.get("credential_type") in {"client_secret", "workload_identity"}:
        return [config.get("authority_host", _AUTHORITY)]
    endpoint = environment("IDENTITY_ENDPOINT")
    return [endpoint] if endpoint and config.get("credential_type") == "managed_identity" else []


def _sweep(_leftovers: Leftovers) -> int:
    """Leave blocks that nobody committed alone: Azure drops them after a week."""
    return 0


def _connection_string(settings: AzureSettings) -> dict[str, str]:
    """Read the pairs of the connection string, the environment's where no login was given."""
    if settings.connection_string is not None:
        text: str | None = settings.connection_string.resolve()
    elif _says_who(settings):
        text = None
    else:
        text = environment("AZURE_STORAGE_CONNECTION_STRING")
    pairs = (pair.partition("=") for pair in (text or "").split(";") if pair.strip())
    said = {key.strip(): value.strip() for key, _, value in pairs}
    for key in ("AccountKey", "SharedAccessSignature"):
        remember(said.get(key, ""))
    if text and not said.keys() & {"AccountKey", "SharedAccessSignature"}:
        raise ConfigError(
            "the connection string has neither AccountKey nor SharedAccessSignature",
            hint="copy it whole: az storage account show-connection-string",
        )
    return said


def _says_who(settings: AzureSettings) -> bool:
    return bool(settings.account_key or settings.sas_token or settings.client_id)


def _account_config(settings: AzureSettings, said: dict[str, str]) -> AzureConfig:
    name = (
        settings.account_name
        or said.get("AccountName")
        or environment("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    )
    endpoint = (
        settings.endpoint or said.get("BlobEndpoint") or environment("AZURE_STORAGE_ENDPOINT")
    )
    if not name:
        name = _account_of(endpoint)
    if not endpoint:
        endpoint = f"https://{name}.blob.{said.get('EndpointSuffix', _SUFFIX)}"
    try:
        refuse_plain_http(checked := server_url(endpoint), settings.allow_http)
        _refuse_container_in(checked, settings.container, name)
    except ValueError as error:
        raise ConfigError(f"the endpoint {endpoint}: {error}") from error
    return {"account_name": name, "endpoint": checked}


def _refuse_container_in(endpoint: str, container: str, account: str | None) -> None:
    """Refuse an endpoint with more than the account in it: nothing stored would be found.

    Raises:
        ValueError: It has; with the one to write.
    """
    url = urlsplit(endpoint)
    folders = [folder for folder in url.path.split("/") if folder]
    own_host = re.match(r"[a-z0-9]{3,24}\.blob\.", url.netloc) is not None
    if own_host and folders:
        right = ""
    elif folders and folders[-1] == container and (len(folders) > 1 or container != account):
        right = "".join(f"/{folder}" for folder in folders[:-1])
    else:
        return
    raise ValueError(
        "endpoint holds more than the account; the container is added to it anyway:"
        f" write {url.scheme}://{url.netloc}{right}"
    )


def _account_of(endpoint: str | None) -> str:
    """Tell the account from its endpoint: a SAS connection string names no other."""
    match = re.match(r"https://([a-z0-9]{3,24})\.blob\.", endpoint or "")
    if match is None:
        raise ConfigError(
            "the name of the storage account is missing",
            hint="set account_name or AZURE_STORAGE_ACCOUNT_NAME",
        )
    return match[1]


def _login(settings: AzureSettings, said: dict[str, str]) -> AzureConfig:
    """Choose one way to log in: what the settings say, then what the environment does."""
    if said:
        return _by_key(said.get("AccountKey"), said.get("SharedAccessSignature")) or {}
    if settings.account_key is not None:
        return _by_key(settings.account_key.resolve(), None) or {}
    if settings.sas_token is not None:
        return _by_key(None, settings.sas_token.resolve()) or {}
    if settings.client_id is None:
        key_names = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY")
        token_names = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
        found = _by_key(environment(*key_names), environment(*token_names))
        if found is not None:
            return found
    return _by_identity(settings)


def _by_key(key: str | None, sas_token: str | None) -> AzureConfig | None:
    if key:
        return {"credential_type": "access_key", "account_key": key}
    if sas_token:
        return {"credential_type": "sas_token", "sas_key": sas_token}
    return None


def _by_identity(settings: AzureSettings) -> AzureConfig:
    config: AzureConfig = {}
    if environment("AZURE_AUTHORITY_HOST"):
        authority = issuer("AZURE_AUTHORITY_HOST", _AUTHORITY)
        config["authority_host"] = authority.rstrip("/")  # set with one, joined with another
    if client := settings.client_id or environment("AZURE_CLIENT_ID"):
        config["client_id"] = client
    if tenant := settings.tenant_id or environment("AZURE_TENANT_ID"):
        config["tenant_id"] = tenant
    secret = _client_secret(settings)
    token_file = environment("AZURE_FEDERATED_TOKEN_FILE")
    if client and tenant and secret:
        return {**config, "credential_type": "client_secret", "client_secret": secret}
    if client and tenant and token_file:
        return {
            **config,
            "credential_type": "workload_identity",
            "federated_token_file": token_file,
        }
    if settings.client_id is None and environment("AZURE_USE_AZURE_CLI") in {"true", "1"}:
        return {"credential_type": "azure_cli"}
    return {**config, "credential_type": "managed_identity"}


def _client_secret(settings: AzureSettings) -> str | None:
    if settings.client_secret is not None:
        return settings.client_secret.resolve()
    # The environment's belongs to the environment's client.
    return None if settings.client_id else environment("AZURE_CLIENT_SECRET")
