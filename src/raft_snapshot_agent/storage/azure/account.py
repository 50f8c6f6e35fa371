"""Finds the endpoint of a storage account: settings, connection string or environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
        ConfigError: The account is missing or invalid.
    """
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
        refuse_container_in(checked, settings.container, name)
    except ValueError as error:
        raise ConfigError(f"the endpoint {endpoint}: {error}") from error
    return AzureAccount(name, checked)


def _account_of(endpoint: str | None) -> str:
    """Return the account name in an endpoint, the only place in a SAS connection string."""
    match = re.match(r"https://([a-z0-9]{3,24})\.blob\.", endpoint or "")
    if match is None:
        raise ConfigError(
            "the name of the storage account is missing",
            hint="set account_name or AZURE_STORAGE_ACCOUNT_NAME",
        )
    return match[1]
