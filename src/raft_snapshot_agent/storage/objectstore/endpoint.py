"""The settings common to storages with an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from raft_snapshot_agent.network.address import ProxyUrl
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.storage.objectstore.connection import Endpoint
from raft_snapshot_agent.storage.settings import StorageSettings


class EndpointSettings(StorageSettings):
    """Endpoint, TLS and proxy."""

    endpoint: Endpoint | None = None
    """Endpoint; by default that of the cloud."""
    allow_http: bool | None = None
    """Whether plain HTTP is allowed; by default only on loopback."""
    ca_file: Path | None = None
    """PEM file of certificates trusted in addition to the system's."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default HTTPS_PROXY and NO_PROXY of the environment."""

    @model_validator(mode="after")
    def _encrypted_in_transit(self) -> Self:
        if self.endpoint is not None:
            refuse_plain_http(self.endpoint, self.allow_http)
        return self
