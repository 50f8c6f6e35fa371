"""Reads the variables of `bao` and `vault`: `BAO_X` before `VAULT_X`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raft_snapshot_agent.core.duration import parse_duration
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.small_file import is_regular
from raft_snapshot_agent.vault.auth.token import TokenAuth

_VARIABLES = {
    "address": ("AGENT_ADDR", "ADDR"),
    "namespace": ("NAMESPACE",),
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


def read_variables(environment: Mapping[str, str], given: Collection[str]) -> dict[str, Any]:
    """Read the variables of all settings of the connection that are not given.

    Raises:
        ValueError: One has a value that cannot be read.
    """
    return _read(_READERS, environment, given)


def read_tls_variables(environment: Mapping[str, str], given: Collection[str]) -> dict[str, Any]:
    """Read the variables of all settings of `tls` that are not given.

    Raises:
        ValueError: One has a value that cannot be read.
    """
    return _read(_TLS_READERS, environment, given)


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


def explain_variable(error: ValueError, environment: Mapping[str, str]) -> str:
    """Return the first line of an error, with the variable that it is about."""
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


def _read(
    readers: Mapping[str, _Reader], environment: Mapping[str, str], given: Collection[str]
) -> dict[str, Any]:
    found = {key: read(environment) for key, read in readers.items() if key not in given}
    return {key: value for key, value in found.items() if value is not None}


def _address(environment: Mapping[str, str]) -> str | None:
    return _variable(environment, "AGENT_ADDR") or _variable(environment, "ADDR")


def _token_login(environment: Mapping[str, str]) -> TokenAuth | None:
    token = environment_token(environment)
    return TokenAuth(method="token", token=token) if token else None


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


def _skip_verify(environment: Mapping[str, str]) -> bool | None:
    skip = _variable(environment, "SKIP_VERIFY") or ""
    if skip not in _TRUE | _FALSE:
        name = _called(environment, "SKIP_VERIFY")
        raise ValueError(f"{name} is {skip!r}, not true or false")
    return True if skip in _TRUE else None


_Reader = Callable[[Mapping[str, str]], Any]
_READERS: dict[str, _Reader] = {
    "address": _address,
    "namespace": partial(_variable, name="NAMESPACE"),
    "auth": _token_login,
    "timeout": _seconds,
    "proxy": _proxy,
}
_TLS_READERS: dict[str, _Reader] = {
    **{key: partial(_variable, name=name) for key, name in _TLS_VARIABLES.items()},
    "skip_verify": _skip_verify,
}
