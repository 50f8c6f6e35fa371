"""The settings of storages that are reached at an endpoint of their own or of their cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from raft_snapshot_agent.network.address import ProxyUrl
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.storage.objectstore.connection import Endpoint
from raft_snapshot_agent.storage.settings import StorageSettings


class EndpointSettings(StorageSettings):
    """An endpoint, and what makes it trustworthy."""

    endpoint: Endpoint | None = None
    """Another than the cloud's."""
    allow_http: bool | None = None
    """Whether an endpoint may go without TLS; true for one on loopback."""
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default the environment's HTTPS_PROXY and NO_PROXY count."""

    @model_validator(mode="after")
    def _encrypted_in_transit(self) -> Self:
        if self.endpoint is not None:
            refuse_plain_http(self.endpoint, self.allow_http)
        return self
