"""Find and read the configuration file, and check who could have written it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.ownership import author, is_ours, others_swap, others_write

_LARGEST = 16 << 20
"""Bytes: a thousand clusters have one."""
_NAME_IT = "name it with --config if it is meant"


@dataclass(frozen=True, slots=True)
class Written:
    """What was read, and who could have written it."""

    path: Path
    text: str
    author: int | None = None
    """See `ownership.author`."""


def find(places: Iterable[Path]) -> Path | None:
    """Return the first existing file."""
    return next((place for place in places if _exists(place)), None)


def search(places: Iterable[Path]) -> Written | None:
    """Read the first existing file; one in the working directory must be the user's own.

    Raises:
        ConfigError: It cannot be read, or another user may have put it there.
    """
    found = find(places)
    if found is None:
        return None
    if not found.is_absolute():
        _refuse_foreign(found)
    return read(found, named=found.is_absolute())


def read(file: Path, *, named: bool = True) -> Written:
    """Read the file that was named, or that lies in a usual place.

    Raises:
        ConfigError: It cannot be read, or it was not named and is not our own.
    """
    # Another user could have created a pipe there, and the open would wait for ever.
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if named else os.O_NONBLOCK)
    try:
        with os.fdopen(os.open(file, flags), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not named:
                _refuse(file, found)
            content = opened.read(_LARGEST + 1)
        _refuse_large(file, content)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: {error.strerror}",
            hint="check the path, and that the agent's user may read it",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: byte {error.start + 1} is not UTF-8",
            hint="save it as UTF-8",
        ) from None
    return Written(file, text, author(found))


def _refuse_large(file: Path, content: bytes) -> None:
    if len(content) > _LARGEST:
        why = f"it is larger than {_LARGEST >> 20} MiB, a limit that is fixed"
        hint = "check the path: no configuration needs that"
        raise ConfigError(f"cannot read the configuration {file}: {why}", hint=hint)


def _exists(place: Path) -> bool:
    try:
        return place.exists() or place.is_symlink()
    except PermissionError:
        return False  # in a folder that this user may not read: not meant for them


def _refuse_foreign(file: Path) -> None:
    """Refuse a name in the working directory that another user may have put there."""
    try:
        _refuse(file, file.lstat())
        folder = file.absolute().parent
        if others_swap(folder.stat()):
            raise _refuse_file(file, f"others may swap files in {folder}", f"chmod go-w {folder}")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error


def _refuse(file: Path, found: os.stat_result) -> None:
    for why, mend in _doubts(file.absolute(), found):
        raise _refuse_file(file, why, mend)


def _doubts(file: Path, found: os.stat_result) -> Iterator[tuple[str, str]]:
    if not is_ours(found):
        yield f"belongs to another user (user ID {found.st_uid})", ""
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        yield "is not a regular file", ""
    if others_write(found):
        yield "can be written by other users", f"chmod go-w {file}"


def _refuse_file(file: Path, why: str, mend: str) -> ConfigError:
    return ConfigError(
        f"{file.absolute()} lies in the working directory and {why}, so it is not used",
        hint=" or ".join(filter(None, (mend, _NAME_IT))),
    )
