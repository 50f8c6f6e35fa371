"""Where a storage stores its snapshots, however its address is written."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from raft_snapshot_agent.core.snapshots.naming import list_names
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.exclusions import ExcludedHost, is_loopback
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.settings import StorageAddress, StorageSettings

Owner = TypeVar("Owner")

_WITH_FOLDERS = {"local", "sftp", "webdav"}
"""Types in which a file and a folder cannot have the same name."""


@dataclass(frozen=True, slots=True)
class StoragePlace:
    """A folder in which snapshots are stored; equal for two names of the same one."""

    server: tuple[str, ...]
    """Type, server and bucket."""
    folder: PurePosixPath


def locate(storage: AnyStorage) -> StoragePlace:
    """Return where a storage stores its snapshots."""
    try:
        found = storage.locate()
    except ConfigError:  # `check` reports it; until then the same keys are the same place
        found = StorageAddress("", tuple(map(str, _list_written(storage))), storage.prefix)
    server = (storage.type, _unify(found.server), *found.bucket)
    return StoragePlace(server, PurePosixPath(posixpath.normpath(found.folder)))


def _list_written(storage: AnyStorage) -> Iterator[object]:
    """List the values of the keys that a type of storage has and others have not."""
    common = StorageSettings.model_fields
    return (getattr(storage, key) for key in type(storage).model_fields if key not in common)


def _unify(url: str) -> str:
    """Return the same text for all ways to write a URL, including the names of this host."""
    parts = urlsplit(url)
    host = ExcludedHost.of(parts)
    name = "localhost" if is_loopback(host) else str(host.ip or host.name.rstrip("."))
    return f"{name}:{host.port}{unquote(parts.path).rstrip('/')}"


def find_folders_in_the_way(
    storages: Iterable[tuple[Owner, AnyStorage]],
) -> Iterator[tuple[Owner, Owner]]:
    """Find files with a static name whose path is a folder of a storage, or one above it.

    Arguments:
        storages: Storages, and who has them.

    Returns:
        Who has the static name, and who has the folder.
    """
    placed = [
        (owner, storage, locate(storage))
        for owner, storage in storages
        if storage.type in _WITH_FOLDERS
    ]
    files = {
        StoragePlace(place.server, place.folder / name): owner
        for owner, storage, place in placed
        if storage.static_name is not None
        for name in list_names(storage.static_name)
    }
    for owner, _, place in placed if files else ():
        for folder in (place.folder, *place.folder.parents):
            if (other := files.get(StoragePlace(place.server, folder))) is not None:
                yield other, owner
