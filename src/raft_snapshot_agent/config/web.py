"""`web`: where page, API and probes are served, and to whom."""

from __future__ import annotations

import re
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, model_validator

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings, absolute, require_extra
from raft_snapshot_agent.network.trust import UnusableFile, load_pair
from raft_snapshot_agent.secret import Secret

SHORTEST_TOKEN = 16
"""Minimum characters; shorter tokens can be guessed."""
_EXAMPLE = "127.0.0.1:8299"
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]+)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"must be an address and a port, such as {_EXAMPLE}")
    if int(found["port"]) > 65535:
        raise ValueError("must have a port of at most 65535")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("must be a host name without port, such as vault-1.example.org")
    return text.lower()


PemFile = Annotated[Path, absolute("/etc/raft-snapshot-agent/web.pem")]


class WebTls(Settings):
    """The certificate that is shown; read again when its file changes."""

    cert: PemFile
    key: PemFile

    def open(self) -> ssl.SSLContext:
        """Load the pair as it is now.

        Raises:
            ConfigError: It cannot be read, or is none.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            load_pair(context, self.cert, self.key)
        except UnusableFile as error:
            what = f"{error.filename} cannot be used: {error.strerror}"
            raise ConfigError(what, hint=error.hint) from error
        except OSError as error:
            which = error.filename or f"{self.cert} or {self.key}"
            what = f"cannot read {which}: {error.strerror}"
            raise ConfigError(what, hint="let the agent's user read both files") from error
        return context


class WebSettings(Settings):
    """Where page, API and probes are served, and to whom."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 0})  # all as usual

    listen: Annotated[str, AfterValidator(_address)] = _EXAMPLE
    """Address and port; port 0: any that is free, which the log tells."""
    tls: WebTls | None = None
    token: Secret | None = None
    """The token that every request except probes must have."""
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    """Host names of the page, in addition to addresses and localhost."""
    allow_snapshot: bool = False
    """Whether `POST /api/v1/snapshot` takes a snapshot."""
    required: bool = False
    """Whether the agent exits if it cannot listen; else it takes snapshots without the page."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.allow_snapshot and self.token is None:
            raise ValueError("allow_snapshot needs a token: set web.token, too")
        return self

    @property
    def host(self) -> str:
        """The host to listen on."""
        found = _ADDRESS.fullmatch(self.listen)
        return "" if found is None else found["six"] or found["host"]

    @property
    def port(self) -> int:
        """The port to listen on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def is_private(self) -> bool:
        """Whether it is reachable only from this host."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def require_libraries(self) -> None:
        """Check that the web libraries are installed, without importing them.

        Raises:
            ConfigError: They are not installed.
        """
        require_extra("web", "the page", "starlette", "uvicorn", "jinja2")

    def read_token(self) -> str | None:
        """Resolve the token; `None` if none is configured.

        Raises:
            ConfigError: It is missing, or too short.
        """
        if self.token is None:
            return None
        token = self.token.resolve()
        if len(token) < SHORTEST_TOKEN:
            raise ConfigError(
                f"the token must have at least {SHORTEST_TOKEN} characters, this one has fewer",
                hint="make one: openssl rand -hex 32",
            )
        return token
