"""Settings of the connection to the cluster, from the file and the standard variables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator

from raft_snapshot_agent.core.duration import parse_duration
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Duration, Settings, Speed, Timeout
from raft_snapshot_agent.network.address import ProxyAddress, ProxyUrl, is_host
from raft_snapshot_agent.redaction import show_address
from raft_snapshot_agent.small_file import is_regular
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth

DEFAULT_ADDRESS = "https://127.0.0.1:8200"
_VARIABLES = {
    "address": ("AGENT_ADDR", "ADDR"),
    "token": ("TOKEN",),
    "timeout": ("CLIENT_TIMEOUT",),
}
"""The variables of a key, without `BAO_` or `VAULT_`."""
_TLS_VARIABLES = {
    "ca_file": "CACERT",
    "ca_path": "CAPATH",
    "client_cert": "CLIENT_CERT",
    "client_key": "CLIENT_KEY",
    "server_name": "TLS_SERVER_NAME",
}
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False", ""}


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

        Raises:
            ConfigError: A variable has an invalid value.
        """
        given = self.model_fields_set
        try:
            found = {k: v for k, v in _from_environment(environment).items() if k not in given}
            tls = {**_tls_from_environment(environment), **self.tls.model_dump(exclude_unset=True)}
            if "nodes" in given:
                found.pop("address", None)
            merged = {**self.model_dump(exclude_unset=True), **found, "tls": tls}
            # Not converted to text, because secrets hide their values in text.
            secret = {key: getattr(self, key) or found.get(key) for key in ("auth", "proxy")}
            return type(self).model_validate({**merged, **secret})
        except ValueError as error:
            why = _first_line(error, environment)
            raise ConfigError(
                f"the environment (BAO_* or VAULT_*) cannot be used: {why}"
            ) from error


def environment_token(environment: Mapping[str, str]) -> str | None:
    """Return the token in `BAO_TOKEN` or `VAULT_TOKEN`; blanks are none."""
    return (_variable(environment, "TOKEN") or "").strip() or None


def find_tls_variable(key: str, environment: Mapping[str, str]) -> str:
    """Return the variable that sets a key of `tls` where the file does not; empty if none does."""
    name = _TLS_VARIABLES.get(key, "")
    return _called(environment, name) if name and _variable(environment, name) else ""


def find_address_variable(environment: Mapping[str, str]) -> str:
    """Return the variable that sets the address where the file does not; empty if none does."""
    names = (name for name in _VARIABLES["address"] if _variable(environment, name))
    return next((_called(environment, name) for name in names), "")


def environment_token_file(environment: Mapping[str, str]) -> Path | None:
    """Return the file in `BAO_TOKEN_PATH`, else the one that `bao login` writes, if it exists.

    Only for commands run by an operator; a daemon must not use the token of a person.
    """
    named = _variable(environment, "TOKEN_PATH")
    if named is not None:
        return Path(named).absolute()
    usual = Path(environment.get("HOME") or "/", ".vault-token")
    return usual if is_regular(usual) else None


def checked_address(address: str) -> str:
    """Return the address without a trailing slash.

    Raises:
        ValueError: It has no supported scheme, or invalid parts.
    """
    address = address.strip()
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
    return address.rstrip("/")


def _first_line(error: ValueError, environment: Mapping[str, str]) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    said = fault["msg"].removeprefix("Value error, ")
    key = str(fault["loc"][-1]) if fault["loc"] else ""
    names = (_TLS_VARIABLES[key],) if key in _TLS_VARIABLES else _VARIABLES.get(key, ())
    return f"{_called(environment, *names)}: {said}" if names else said


def _called(environment: Mapping[str, str], *names: str) -> str:
    """Return the variable that is set, as it is called there."""
    called = [f"{front}_{name}" for name in names for front in ("BAO", "VAULT")]
    return next((name for name in called if environment.get(name)), called[-1])


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(f"BAO_{name}")
    if value is None:
        value = environment.get(f"VAULT_{name}")
    return value or None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    def variable(name: str) -> str | None:
        return _variable(environment, name)

    token = environment_token(environment)
    values = {
        "address": variable("AGENT_ADDR") or variable("ADDR"),
        "namespace": variable("NAMESPACE"),
        "auth": token and TokenAuth(method="token", token=token),
        "timeout": _seconds(environment),
        "proxy": _proxy(environment),
    }
    return {key: value for key, value in values.items() if value is not None}


def _proxy(environment: Mapping[str, str]) -> ProxyAddress | None:
    """Return the proxy that the variables set for Vault or OpenBao only.

    Source: `Config.ReadEnvironment` of OpenBao's Go client, and of Vault's.
    """
    for name in ("PROXY_ADDR", "HTTP_PROXY"):
        if value := _variable(environment, name):
            source = f"BAO_{name}" if f"BAO_{name}" in environment else f"VAULT_{name}"
            return _check_proxy(ProxyAddress(value, source), source)
    return None


def _check_proxy(address: ProxyAddress, source: str) -> ProxyAddress:
    try:
        address.check()
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return address


def _seconds(environment: Mapping[str, str]) -> timedelta | None:
    timeout, name = _variable(environment, "CLIENT_TIMEOUT"), _called(environment, "CLIENT_TIMEOUT")
    if timeout is None:
        return None
    try:
        return parse_duration(f"{timeout}s" if timeout.isdecimal() else timeout)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _tls_from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    skip = _variable(environment, "SKIP_VERIFY") or ""
    if skip not in _TRUE | _FALSE:
        name = _called(environment, "SKIP_VERIFY")
        raise ValueError(f"{name} is {skip!r}, not true or false")
    values = {
        **{key: _variable(environment, name) for key, name in _TLS_VARIABLES.items()},
        "skip_verify": True if skip in _TRUE else None,
    }
    return {key: value for key, value in values.items() if value is not None}
