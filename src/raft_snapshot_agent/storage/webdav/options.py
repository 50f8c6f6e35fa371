"""Settings of a folder on a WebDAV server."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote, urljoin, urlsplit

from pydantic import AfterValidator, model_validator

from raft_snapshot_agent.network.address import ProxyUrl
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.network.exclusions import ascii_name
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.objectstore.connection import server_url
from raft_snapshot_agent.storage.settings import StorageAddress, StorageSettings

_AS_WRITTEN = "/%:@!$&'()*+,;=~"
"""Characters of a path that are not encoded; what is encoded already stays so."""


def _encoded_url(url: str) -> str:
    """Return the URL in ASCII, as headers such as that of a MOVE need it."""
    parts = urlsplit(server_url(url))
    host = parts.netloc.replace(parts.hostname or "", ascii_name(parts.hostname or ""))
    return parts._replace(netloc=host, path=quote(parts.path, safe=_AS_WRITTEN)).geturl()


class WebdavOptions(StorageSettings):
    """Settings of one folder: address, login and certificates."""

    type: Literal["webdav"]
    url: Annotated[str, AfterValidator(_encoded_url)]
    """URL of an existing folder."""
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    """Bearer token, instead of username and password."""
    ca_file: Path | None = None
    """PEM file of certificates trusted in addition to the system's."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default HTTPS_PROXY and NO_PROXY of the environment."""
    skip_verify: bool = False
    """Accept any certificate. For tests only."""
    allow_http: bool | None = None
    """Whether plain HTTP is allowed; by default only on loopback."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password must be given together")
        if self.username is not None and self.token is not None:
            raise ValueError("give either username and password, or token")
        refuse_plain_http(self.url, self.allow_http)
        return self

    def locate(self) -> StorageAddress:
        return StorageAddress(urljoin(self.url, "/"), (), self.path)

    @property
    def folder_urls(self) -> list[str]:
        """Encoded URLs of the folders of `prefix`, from the top."""
        parts = self.prefix.split("/")[:-1]
        return [f"{self.url}/{quote('/'.join(parts[: depth + 1]))}/" for depth in range(len(parts))]

    @property
    def path(self) -> str:
        """Decoded path of the folder, with a slash at the end."""
        return f"{unquote(urlsplit(self.url).path)}/{self.prefix}"

    def authorization(self) -> dict[str, str]:
        """Return the authorization header, with credentials resolved now."""
        if self.token is not None:
            return {"authorization": f"Bearer {self.token.resolve()}"}
        if self.username is None or self.password is None:
            return {}
        pair = f"{self.username}:{self.password.resolve()}".encode()
        return {"authorization": f"Basic {b64encode(pair).decode()}"}
