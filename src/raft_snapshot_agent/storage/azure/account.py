"""Finds the endpoint of a storage account: settings, connection string or environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.storage.azure.options import AzureOptions, refuse_container_in
from raft_snapshot_agent.storage.objectstore.connection import environment, server_url

_SUFFIX = "core.windows.net"


@dataclass(frozen=True, slots=True)
class AzureAccount:
    """A storage account."""

    name: str
    endpoint: str
    """Endpoint, without a slash at the end."""


def read_connection_string(settings: AzureOptions) -> dict[str, str]:
    """Parse the connection string; without a configured login, that of the environment.

    Raises:
        ConfigError: It contains no login.
    """
    if settings.connection_string is not None:
        text: str | None = settings.connection_string.resolve()
    elif settings.account_key or settings.sas_token or settings.client_id:
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


def find_account(settings: AzureOptions, said: Mapping[str, str]) -> AzureAccount:
    """Return the account and its endpoint.

    Arguments:
        settings: Settings, which take precedence.
        said: Values of the connection string.

    Raises:
        ConfigError: The account is missing or invalid, or a variable is of another one.
    """
    own = settings.account_name or _account_of_host(settings.endpoint)
    name = (
        own
        or said.get("AccountName")
        or environment("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    )
    endpoint = (
        settings.endpoint or said.get("BlobEndpoint") or environment("AZURE_STORAGE_ENDPOINT")
    )
    if not name:
        # The only place in a SAS connection string.
        name = _require_name(_account_of_host(endpoint))
    if not endpoint:
        endpoint = f"https://{name}.blob.{said.get('EndpointSuffix', _SUFFIX)}"
    try:
        refuse_plain_http(checked := server_url(endpoint), settings.allow_http)
        refuse_container_in(checked, settings.container, name)
    except ValueError as error:
        raise ConfigError(f"the endpoint {endpoint}: {error}") from error
    if own:
        _refuse_other_accounts(own, settings, said)
    return AzureAccount(name, checked)


def _refuse_other_accounts(own: str, settings: AzureOptions, said: Mapping[str, str]) -> None:
    """Refuse a variable in use that names another account than the file."""
    of_variables: dict[str, str | None] = {}
    if settings.connection_string is None:
        named = said.get("AccountName") or _account_in(said.get("BlobEndpoint"))
        of_variables["AZURE_STORAGE_CONNECTION_STRING"] = named
    if settings.endpoint is None and "BlobEndpoint" not in said:
        of_variables["AZURE_STORAGE_ENDPOINT"] = _account_in(environment("AZURE_STORAGE_ENDPOINT"))
    for variable, account in of_variables.items():
        if account not in (None, own):
            raise ConfigError(
                f"{variable} is of the account {account}, and the configuration names {own}",
                hint=f"unset {variable}, or write endpoint and login into the configuration",
            )


def _account_in(endpoint: str | None) -> str | None:
    """Return the account that an endpoint names, in its host or its path."""
    folder = urlsplit(endpoint or "").path.rstrip("/").rpartition("/")[2]
    return _account_of_host(endpoint) or folder or None


def _account_of_host(endpoint: str | None) -> str | None:
    match = re.match(r"https?://([a-z0-9]{3,24})\.blob\.", endpoint or "")
    return None if match is None else match[1]


def _require_name(name: str | None) -> str:
    if name is None:
        raise ConfigError(
            "the name of the storage account is missing",
            hint="set account_name or AZURE_STORAGE_ACCOUNT_NAME",
        )
    return name
