"""The snapshot that a command is for: what its arguments mean, and what to tell of the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import naming_of
from raft_snapshot_agent.core.snapshots import naming
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    NoConfiguration,
    NotThereYet,
    StorageError,
)
from raft_snapshot_agent.restore.choice import InFile, Missed, Named, Newest, Wanted, choose
from raft_snapshot_agent.restore.reader import SnapshotReader
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.small_file import is_regular


def parse_wanted(
    text: str | None, load: Callable[[], Loaded], at: str | None = None, *, stored: bool = False
) -> Wanted:
    """Return which snapshot the arguments of a command mean (docs/decisions/0079).

    Arguments:
        text: A name, a file, or `-` for standard input; `None`: the newest.
        load: Loads the configuration, which says how snapshots are named. A file needs none.
        at: The time at which it was the newest.
        stored: Whether a stored snapshot is meant, though a file here may have its name.

    Raises:
        ConfigError: `at` is not a time.
    """
    if text is None:
        return Newest(None if at is None else parse_time(at))
    if text == "-":
        return InFile(None)
    if "/" in text:
        return InFile(Path(text))
    if stored or not is_regular(Path(text)):
        return Named(text)
    if _may_be_stored(text, load):
        output.warn(
            f"{text} is read from the file in this folder; --storage reads the stored snapshot"
        )
    return InFile(Path(text))


def _may_be_stored(name: str, load: Callable[[], Loaded]) -> bool:
    """Return whether a name has the form of a stored snapshot's, as far as is configured."""
    if naming.parse(name) is not None:
        return True
    try:
        config = load().config
    except AgentError:  # without a configuration nothing stored is meant
        return False
    is_static = any(storage.static_name == name for storage in config.storages)
    return is_static or naming.parse(name, naming_of(config)) is not None


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time; without a zone it is in UTC.

    Raises:
        ConfigError: It is not a time.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text!r} is not a time", hint="write one such as 2026-11-23T15:30:00Z"
        ) from error


def open_storages(
    load: Callable[[], Loaded], only: str | None, *wanted: Wanted
) -> Sequence[Destination]:
    """Open the storages to look in; files need none, and no configuration.

    Raises:
        ConfigError: One storage is named, and only files are wanted.
    """
    if any(not isinstance(one, InFile) for one in wanted):
        with _explain_names([one.name for one in wanted if isinstance(one, Named)]):
            loaded = load()
            return assembly.destinations(loaded.config, only, cluster=loaded.name)
    if only is not None:
        raise ConfigError(
            f"--storage {only} does nothing for a file",
            hint="give the name of a stored snapshot, or leave --storage out",
        )
    return ()


@contextmanager
def _explain_names(names: Sequence[str]) -> Iterator[None]:
    """Say of a name that it is no file here, where no configuration tells of stored snapshots."""
    try:
        yield
    except NoConfiguration as error:
        if not names:
            raise
        what = f"there is no file {names[0]} here, and {error.message}"
        raise NoConfiguration(what, hint=error.hint) from error


async def choose_reader(
    destinations: Sequence[Destination], wanted: Wanted, *, is_asked: bool = True
) -> SnapshotReader:
    """Find a snapshot, and warn of what may be a better choice.

    Arguments:
        destinations: The storages to look in, in order.
        wanted: The snapshot.
        is_asked: Whether an operator confirms the choice, or it changes nothing; if not, a warning
            refuses it.

    Raises:
        AgentError: There is none, or a better one may have been missed and nobody is asked.
    """
    choice = await choose(destinations, wanted, datetime.now(UTC))
    for one in choice.missed:
        output.warn(str(one))
    if not is_asked:
        _require_all(choice.missed)
    return choice.reader


def _require_all(missed: Sequence[Missed]) -> None:
    """Refuse to choose without a storage, as nobody is asked.

    A folder that is missing refuses nothing: on a new host there may be none yet.

    Raises:
        StorageError: A storage may hold a newer snapshot.
    """
    silent = [one.storage for one in missed if not isinstance(one.error, NotThereYet)]
    if silent:
        raise StorageError(
            f"nothing was changed: {', '.join(silent)} may hold a newer snapshot, and --yes lets"
            " nobody decide",
            hint="give the name of the snapshot, or --storage to look in one storage only",
        )
