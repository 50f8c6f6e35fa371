"""What the configuration says of a container of Swift."""

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
    """One container: where it is, how to log in, and how snapshots are cut."""

    type: Literal["swift"]
    container: Annotated[str, AfterValidator(_container)]
    auth_url: Annotated[str, AfterValidator(server_url)] | None = None
    """Keystone's address (version 3); or one that ends in `/auth/v1.0`, for Swift's own login."""
    username: str | None = None
    """For Swift's own login `account:user`."""
    password: Secret | None = None
    user_domain_name: str | None = None
    """`Default` when missing."""
    project_name: str | None = None
    project_domain_name: str | None = None
    """`Default` when missing."""
    application_credential_id: str | None = None
    application_credential_secret: Secret | None = None
    """Instead of user and project."""
    region_name: str | None = None
    """Which of the catalog's stores, if there are several."""
    storage_url: Annotated[str, AfterValidator(server_url)] | None = None
    """The account's address; with `auth_token` nobody needs to log in."""
    auth_token: Secret | None = None
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default the environment's HTTPS_PROXY and NO_PROXY count."""
    allow_http: bool | None = None
    """Whether addresses may go without TLS; true for those on loopback."""
    segment_size: Annotated[ByteSize, AfterValidator(_segment)] = ByteSize(1 << 30)
    """How much of a snapshot goes into one segment; a container takes 1,000 of them."""

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
