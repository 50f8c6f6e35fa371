"""Check the files that the arguments of a command name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from raft_snapshot_agent.cli.output import is_terminal
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.small_file import read_file


def parse_target(text: str) -> Path:
    """Return the path of a file or folder to write.

    Raises:
        ConfigError: Its end says that it is a folder, and there is none, so that a file of this
            name would take its place.
    """
    target = Path(text)
    if text == "-":
        raise ConfigError("cannot write to standard output", hint="give the path of a file")
    if text.endswith(("/", "/.")) and not is_folder(target):
        raise ConfigError(
            f"cannot write {text}: there is no such folder",
            hint="create it, or give the path of a file",
        )
    return target


def writable_folder(target: Path, *, overwrite: bool = False) -> Path:
    """Return the folder of a file to write, after a test that it is writable.

    Raises:
        ConfigError: It cannot be written, or it exists and must not be replaced.
    """
    with _explain(f"cannot write {target}"):
        _require_replaceable(target, overwrite=overwrite)
        return _try_folder(target.absolute().parent)


def prepare_snapshot_file(target: Path, *, overwrite: bool) -> Path:
    """Return the folder of a snapshot to write, after a test that it and its manifest may be.

    Raises:
        ConfigError: It cannot be written, or a file exists that must not be replaced.
    """
    folder = writable_folder(target, overwrite=overwrite)
    beside = target.with_name(manifest_name(target.name))
    with _explain(f"cannot write {beside}"):
        if beside.exists() and not _is_manifest(beside):
            raise ConfigError(
                f"{beside} exists already, and is not the manifest of a snapshot",
                hint=f"it is never replaced; give another name than {target.name}",
            )
        _require_replaceable(beside, overwrite=overwrite)
    return folder


def _is_manifest(path: Path) -> bool:
    try:
        Manifest.from_json(read_file(path))
    except (OSError, ValueError):
        return False
    return True


def require_writable_folder(folder: Path) -> Path:
    """Return the absolute path of a folder, after a test that files can be created in it.

    Raises:
        ConfigError: They cannot.
    """
    with _explain(f"cannot write into {folder}"):
        return _try_folder(folder.absolute())


def _try_folder(folder: Path) -> Path:
    with tempfile.TemporaryFile(dir=folder):
        return folder


@contextmanager
def _explain(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{what}: {error.strerror}",
            hint="give the path of a file in a folder that exists and is writable",
        ) from error


def _require_replaceable(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise ConfigError(f"cannot write {target}: it is a folder", hint="give a file in it")
    if target.is_symlink():  # the rename would replace the link, not the file that it leads to
        raise ConfigError(
            f"cannot write {target}: it is a link",
            hint=f"give the path that it leads to, {os.path.realpath(target)}, or remove it",
        )
    if target.exists() and not target.is_file():  # the rename would replace a device by a file
        raise ConfigError(
            f"cannot write {target}: it is not a regular file", hint="- is standard output"
        )
    if target.exists() and not overwrite:
        hint = "give --force to replace it, or another name"
        raise ConfigError(f"{target} exists already", hint=hint)


def make_absolute(path: Path) -> Path:
    """Return a path that does not depend on the working directory.

    Raises:
        ConfigError: The working directory was deleted.
    """
    try:
        return path.absolute()
    except OSError as error:
        raise ConfigError(
            f"the working directory is gone: {error.strerror}", hint="change to another one"
        ) from error


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder, as far as this user may know."""
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long, or a working directory of another user
        return False


def binary_output(command: str) -> BinaryIO:
    """Return standard output as a binary stream.

    Raises:
        ConfigError: It is a terminal, or was closed at the start.
    """
    hint = f"redirect it: {command} > FILE"
    if is_terminal(sys.stdout):
        raise ConfigError("a snapshot is binary data, not for a terminal", hint=hint)
    # None where the stream was closed at the start, although its type excludes that
    if not sys.stdout:
        raise ConfigError("cannot write to standard output: it is closed", hint=hint)
    return sys.stdout.buffer
