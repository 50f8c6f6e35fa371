"""What can be known of a configuration without contacting anything."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raft_snapshot_agent.config.document import dotted
from raft_snapshot_agent.config.faults import Place
from raft_snapshot_agent.config.marks import KeyPath
from raft_snapshot_agent.config.model import Config, spool_folder
from raft_snapshot_agent.errors import AgentError, ConfigError
from raft_snapshot_agent.fields import time_zone
from raft_snapshot_agent.network.proxies import check_environment
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage import AnyStorage


def check(config: Config, environ: Mapping[str, str], place: Place = dotted) -> None:
    """Try everything that needs neither server nor storage; folders are made where missing.

    `environ` may name the spool's folder; `place` says where a key stands, as `Loaded.place` does.

    Raises:
        ConfigError: The first thing that is wrong, and its key.
    """
    if config.vault.auth is None:
        raise ConfigError(
            f"{place(('vault', 'auth'))}: there is no way to log in",
            hint="set vault.auth, or BAO_TOKEN or VAULT_TOKEN in the environment",
        )
    check_environment(environ)
    _check_values(config, (), place)
    _check_pair(config, place)
    with _at(("spool",), place):
        _check_spool(spool_folder(config, environ))
    for index, storage in enumerate(config.storages):
        _check_folder(index, storage, place)
    _check_lease(config, place)


def check_to_run(
    config: Config, environ: Mapping[str, str], place: Place = dotted
) -> dict[str, ConfigError]:
    """Try the same, but let one sound storage suffice: the others must not cost it its snapshots.

    Returns:
        What is wrong with the others.

    Raises:
        ConfigError: Something is wrong that concerns all, or no storage is sound.
    """
    check(config.model_copy(update={"storages": (), "lease": None}), environ, place)
    _check_lease(config, place)
    faults: dict[str, ConfigError] = {}
    for index, storage in enumerate(config.storages):
        try:
            _check_values(storage, ("storages", index), place)
            _check_folder(index, storage, place)
        except ConfigError as error:
            faults[storage.name or storage.type] = error
    if faults and len(faults) == len(config.storages):
        raise next(iter(faults.values()))
    return faults


@contextmanager
def _at(path: KeyPath, place: Place) -> Iterator[None]:
    try:
        yield
    except AgentError as error:
        raise ConfigError(f"{place(path)}: {error.message}", hint=error.hint) from error


def _values(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from _values(getattr(value, name), (*path, name))
        case _ if is_dataclass(value):
            for inner in fields(value):
                yield from _values(getattr(value, inner.name), (*path, inner.name))
        case tuple():
            for index, item in enumerate(value):
                yield from _values(item, (*path, index))
        case _:
            yield path, value


def _check_values(value: Any, path: KeyPath, place: Place) -> None:
    for inner, leaf in _values(value, path):
        with _at(inner, place):
            _check_value(inner[-1], leaf)


def _check_folder(index: int, storage: AnyStorage, place: Place) -> None:
    with _at(("storages", index, *_folder_key(storage)), place):
        storage.check()


def _check_lease(config: Config, place: Place) -> None:
    if config.lease is None:
        return
    with _at(("lease", config.lease.key), place):
        config.lease.register(config.storages)
        config.lease.check()


def _check_value(key: str | int, value: Any) -> None:
    if isinstance(value, Secret):
        value.resolve()
    elif key == "timezone":
        time_zone(value)
    elif isinstance(value, Path) and key == "ca_file":
        _readable(value, lambda: _context().load_verify_locations(value))
    elif isinstance(value, Path) and key == "ca_path":
        _readable(value, lambda: next(value.iterdir(), None))


def _check_pair(config: Config, place: Place) -> None:
    certificate, key = config.vault.tls.client_cert, config.vault.tls.client_key
    if certificate is not None:
        with _at(("vault", "tls", "client_cert"), place):
            # An empty password makes an encrypted key fail instead of asking for one.
            _readable(certificate, lambda: _context().load_cert_chain(certificate, key, ""))


def _readable(path: Path, read: Callable[[], object]) -> None:
    try:
        read()
    except ssl.SSLError as error:
        raise ConfigError(
            f"{path} cannot be used: {error.reason or error}", hint="it must be in PEM"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            hint="check that it exists and that the agent's user may read it",
        ) from error


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _check_spool(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"the spool's folder {folder} cannot be written: {error.strerror}",
            hint="set spool to a folder of the agent's user, with room for a snapshot",
        ) from error


def _folder_key(storage: AnyStorage) -> tuple[str, ...]:
    return ("path",) if storage.type == "local" else ()
