"""The settings of a container on Azure Blob Storage."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.objectstore.connection import server_url
from raft_snapshot_agent.storage.objectstore.endpoint import EndpointSettings

_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


def _container(name: str) -> str:
    if not _CONTAINER.fullmatch(name):
        raise ValueError(
            "must be the bare name of a container: 3 to 63 lower-case letters, digits and single"
            " dashes; folders in it belong into prefix"
        )
    return name


def _account(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(
            "must be the bare name of a storage account: 3 to 24 lower-case letters and digits, no"
            " host, no URL"
        )
    return name


class AzureOptions(EndpointSettings):
    """Settings of a container and its login."""

    type: Literal["azure"]
    container: Annotated[str, AfterValidator(_container)]
    account_name: Annotated[str, AfterValidator(_account)] | None = None
    account_key: Secret | None = None
    sas_token: Secret | None = None
    connection_string: Secret | None = None
    client_id: str | None = None
    """ID of a service principal, or of the workload's or instance's identity."""
    client_secret: Secret | None = None
    tenant_id: str | None = None
    endpoint: Annotated[str, AfterValidator(server_url)] | None = None
    """Endpoint of the account, including the account name if it is part of the path."""
    access_tier: Literal["Hot", "Cool", "Cold"] | None = None
    """Access tier of new blobs; by default that of the account."""

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        keys = ("account_key", "sas_token", "connection_string", "client_secret")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not both")
        if self.client_secret is not None and not (self.client_id and self.tenant_id):
            raise ValueError("client_secret needs client_id and tenant_id")
        if self.endpoint is not None:
            refuse_container_in(self.endpoint, self.container, self.account_name)
        return self


def refuse_container_in(endpoint: str, container: str, account: str | None) -> None:
    """Refuse an endpoint that contains more than the account.

    Raises:
        ValueError: It does; the text has the correct endpoint.
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
