"""Settings of the connection to the cluster, from the file and the standard variables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import ByteSize, Field, field_validator, model_validator

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Duration, Settings, Speed, Timeout
from raft_snapshot_agent.network.address import ProxyUrl, is_host
from raft_snapshot_agent.redaction import show_address
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.environment import (
    explain_variable,
    read_tls_variables,
    read_variables,
)

DEFAULT_ADDRESS = "https://127.0.0.1:8200"


class TlsSettings(Settings):
    """TLS settings; certificates are verified unless `skip_verify` is set."""

    ca_file: Path | None = None
    ca_path: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    server_name: str | None = None
    skip_verify: bool = False

    @field_validator("server_name")
    @classmethod
    def _named(cls, name: str | None) -> str | None:
        if name is not None and not is_host(name):
            raise ValueError("must be a host name or an IP address, without scheme and port")
        return name

    @property
    def lacking(self) -> str:
        """The half that the pair of client_cert and client_key lacks; empty if it has both or none.

        One may be in the file and the other in the environment.
        """
        if (self.client_cert is None) == (self.client_key is None):
            return ""
        return "client_key" if self.client_key is None else "client_cert"


class VaultSettings(Settings):
    """Settings of one cluster: its nodes, TLS and login."""

    address: str | None = None
    nodes: tuple[str, ...] = Field(default=())
    """Addresses of several nodes of one cluster; any of them may be down."""
    namespace: str | None = None
    """Namespace of the login; snapshots exist only in the root namespace."""
    tls: TlsSettings = TlsSettings()
    allow_http: bool = False
    """Whether the token and the snapshot may be sent to other hosts without TLS."""
    proxy: ProxyUrl | None = None
    """HTTP proxy for all servers, regardless of `NO_PROXY`."""
    auth: AnyAuth | None = None
    timeout: Timeout = timedelta(seconds=10)
    """Time limit of one API call."""
    stall_timeout: Timeout = timedelta(seconds=60)
    """Time limit of each wait for the next bytes of a snapshot."""
    snapshot_timeout: Timeout = timedelta(hours=6)
    """Time limit of a whole snapshot."""
    min_rate: Speed = ByteSize(32 << 10)
    """Least average bytes per second of a snapshot, after an allowance of two `stall_timeout`."""
    login_check: Duration = timedelta(hours=1)
    """How often the daemon tests the login; 0: never."""

    @field_validator("address")
    @classmethod
    def _one(cls, address: str | None) -> str | None:
        return None if address is None else checked_address(address)

    @field_validator("namespace")
    @classmethod
    def _in_header(cls, namespace: str | None) -> str | None:
        path = (namespace or "").strip()
        if not path.isprintable():
            raise ValueError("must be the path of a namespace: text of one line, such as team/a")
        return path or None

    @field_validator("nodes")
    @classmethod
    def _each(cls, nodes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_address(node) for node in nodes)

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.address is not None and self.nodes:
            raise ValueError("give address or nodes, not both")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every configured address, in order."""
        return self.nodes or (self.address or DEFAULT_ADDRESS,)

    @property
    def in_root(self) -> bool:
        """Whether the login is in the root namespace, which may also be called `root` or `/`."""
        return (self.namespace or "").strip("/") in ("", "root")

    def with_environment(self, environment: Mapping[str, str]) -> Self:
        """Fill settings missing in the file from `BAO_*`, then from `VAULT_*`.

        A `BAO_X` that is set but empty still overrides `VAULT_X`, as in OpenBao's client.
        Variables of settings that the file has are not read.

        Raises:
            ConfigError: A variable has an invalid value.
        """
        given = self.model_fields_set | ({"address"} if self.nodes else set())
        try:
            found = read_variables(environment, given)
            given_tls = self.tls.model_dump(exclude_unset=True)
            tls = {**read_tls_variables(environment, given_tls), **given_tls}
            merged = {**self.model_dump(exclude_unset=True), **found, "tls": tls}
            # Not converted to text, because secrets hide their values in text.
            secret = {key: getattr(self, key) or found.get(key) for key in ("auth", "proxy")}
            return type(self).model_validate({**merged, **secret})
        except ValueError as error:
            why = explain_variable(error, environment)
            raise ConfigError(
                f"the environment (BAO_* or VAULT_*) cannot be used: {why}"
            ) from error


def checked_address(address: str) -> str:
    """Return the address in its normal form.

    Raises:
        ValueError: It has no supported scheme, or invalid parts.
    """
    address = normal_form(address)
    if address.startswith("unix:///"):
        return address
    if address.startswith(("unix:", "/")):
        raise ValueError("it is not an address: write a socket as unix:///run/openbao/api.sock")
    if "@" in address:
        raise ValueError("an address holds no user name or password; use auth")
    shown = show_address(address)
    try:
        parts, port = urlsplit(address), urlsplit(address).port
    except ValueError as error:
        why = "its port must be a number up to 65535, and an IPv6 address stands in brackets"
        raise ValueError(
            f"{shown!r} is not an address: {why}, such as https://[::1]:8200"
        ) from error
    if port == 0:
        raise ValueError(f"{shown!r} is not an address: a port is 1 to 65535")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{shown!r} is not an address: write it with its scheme, such as"
            f" https://{shown.rsplit('://', maxsplit=1)[-1] or '127.0.0.1:8200'}"
        )
    if not is_host(parts.hostname):
        raise ValueError(
            f"{shown!r} is not an address: write one host and no spaces; several nodes are given"
            " as a list, nodes"
        )
    if "v1" in parts.path.split("/"):
        raise ValueError(f"{shown!r} is not an address: it ends before /v1")
    if parts.query or parts.fragment:
        raise ValueError(f"{shown!r} is not an address: it ends before ? and #")
    return address


def normal_form(address: str) -> str:
    """Return an address without blanks and slashes around it, its scheme in lower case.

    Source: RFC 3986, section 3.1.
    """
    scheme, mark, rest = address.strip().rstrip("/").partition("://")
    return f"{scheme.lower()}{mark}{rest}" if mark else scheme
