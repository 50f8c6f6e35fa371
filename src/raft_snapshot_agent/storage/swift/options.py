"""Settings of a container of Swift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, ByteSize, model_validator

from raft_snapshot_agent.network.address import ProxyUrl
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.objectstore.connection import server_url
from raft_snapshot_agent.storage.settings import StorageSettings

_LARGEST_SEGMENT = 5 << 30
"""Source: Swift's `max_file_size`, 5 GiB and two bytes unless an operator changes it."""


def _container(name: str) -> str:
    if not name or "/" in name or not name.isprintable():
        raise ValueError("must be the bare name of a container; folders in it belong into prefix")
    return name


def _segment(size: int) -> int:
    if not 1 << 20 <= size <= _LARGEST_SEGMENT:
        raise ValueError("must be between 1MiB and 5GiB")
    return size


class SwiftOptions(StorageSettings):
    """Settings of one container: address, login and segments."""

    type: Literal["swift"]
    container: Annotated[str, AfterValidator(_container)]
    auth_url: Annotated[str, AfterValidator(server_url)] | None = None
    """URL of Keystone (version 3), or a URL ending in `/auth/v1.0` for Swift's own login."""
    username: str | None = None
    """User name; for Swift's own login `account:user`."""
    password: Secret | None = None
    user_domain_name: str | None = None
    """`Default` when missing."""
    project_name: str | None = None
    project_domain_name: str | None = None
    """`Default` when missing."""
    application_credential_id: str | None = None
    application_credential_secret: Secret | None = None
    """ID of an application credential, instead of user and project."""
    region_name: str | None = None
    """Region of the object store, if the catalog has several."""
    storage_url: Annotated[str, AfterValidator(server_url)] | None = None
    """URL of the account; with `auth_token` no login is needed."""
    auth_token: Secret | None = None
    ca_file: Path | None = None
    """PEM file of certificates trusted in addition to the system's."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default HTTPS_PROXY and NO_PROXY of the environment."""
    allow_http: bool | None = None
    """Whether plain HTTP is allowed; by default only on loopback."""
    segment_size: Annotated[ByteSize, AfterValidator(_segment)] = ByteSize(1 << 30)
    """Size of a segment; a snapshot may have 1,000 segments."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.application_credential_id is None) != (self.application_credential_secret is None):
            raise ValueError(
                "application_credential_id and application_credential_secret must be given together"
            )
        if self.application_credential_id is not None and self.username is not None:
            raise ValueError("give either an application credential or username and password")
        if self.auth_token is not None and self.storage_url is None:
            raise ValueError("auth_token needs storage_url")
        if self.storage_url is not None:
            account, _, last = self.storage_url.rpartition("/")
            if unquote(last) == self.container:
                raise ValueError(
                    f"storage_url holds the container, which is added to it anyway: write {account}"
                )
        for url in (self.auth_url, self.storage_url):
            if url is not None:
                refuse_plain_http(url, self.allow_http)
        return self
