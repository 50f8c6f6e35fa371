"""Check the files and folders that settings name, and the secrets."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import time_zone
from raft_snapshot_agent.network.trust import UnusableFile, list_files, load_authorities, load_pair
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, require_small_file
from raft_snapshot_agent.storage.local.atomic_write import make_folder, try_folder
from raft_snapshot_agent.vault.settings import TlsSettings


def check_value(setting: str, value: Any) -> None:
    """Check the file, folder, secret or time zone that a setting names, by the name of the setting.

    Raises:
        ConfigError: It cannot be used.
    """
    if isinstance(value, Secret):
        value.resolve()
    elif setting == "timezone":
        time_zone(value)
    elif isinstance(value, Path) and setting == "ca_file":
        _readable(value, lambda: load_authorities(_context(), value))
    elif isinstance(value, Path) and setting in {"root", "seal", "files"}:
        _readable(value, lambda: require_small_file(value, LARGEST_BUNDLE))
    elif isinstance(value, Path) and setting == "server":
        _check_server(value)
    elif isinstance(value, Path) and setting == "ca_path":
        _check_folder(value)


def _check_folder(folder: Path) -> None:
    """Check a folder of certificates: each file in it is loaded at each connection."""
    files: list[Path] = []
    _readable(folder, lambda: files.extend(list_files(folder)))
    if not files:
        raise ConfigError(f"there is no certificate in {folder}", hint="put files in PEM there")
    for file in files:
        _readable(file, partial(load_authorities, _context(), file))


def _check_server(program: Path) -> None:
    from raft_snapshot_agent.servers.programs import check_program  # only drills need it

    check_program(program)


def check_pair(tls: TlsSettings) -> None:
    """Check a client certificate and its key.

    Raises:
        ConfigError: They cannot be read, or do not belong together.
    """
    certificate, key = tls.client_cert, tls.client_key
    if certificate is not None:
        _readable(certificate, lambda: load_pair(_context(), certificate, key))


def _readable(path: Path, read: Callable[[], object]) -> None:
    try:
        read()
    except UnusableFile as error:
        what = f"{error.filename} cannot be used: {error.strerror}"
        raise ConfigError(what, hint=error.hint) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {error.filename or path}: {error.strerror}",
            hint="check that it exists and that the agent's user may read it",
        ) from error


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def check_spool(folder: Path) -> None:
    """Test whether the spool's folder can be written or created; change nothing.

    Raises:
        ConfigError: It cannot.
    """
    with _explain_spool_errors(folder, "cannot be written"):
        try_folder(folder)


def make_spool(folder: Path) -> None:
    """Create the spool's folder if it is missing.

    Raises:
        ConfigError: It cannot be created.
    """
    with _explain_spool_errors(folder, "cannot be made"):
        make_folder(folder)


@contextmanager
def _explain_spool_errors(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the spool's folder {folder} {what}: {error.strerror}",
            hint="set spool or TMPDIR to a folder of the agent's user, with room for a snapshot",
        ) from error
