"""Whether two storages store their snapshots in the same place."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from raft_snapshot_agent.storage import AnyStorage

_WHERE = ("auth_url", "storage_url", "endpoint", "url", "account_name", "host", "port")
_WHAT = ("bucket", "container", "project_name")
"""Keys that, with the folder, distinguish storages."""


def identify(storage: AnyStorage) -> object:
    """Return a value that is equal for storages that store in the same place."""
    told = type(storage).model_fields.keys()
    values = [getattr(storage, key) for key in (*_WHERE, *_WHAT) if key in told]
    folder = PurePosixPath(str(getattr(storage, "path", "")), storage.prefix)
    if storage.type == "local":
        folder = PurePosixPath(os.path.realpath(folder))  # links: one folder may have two names
    return (storage.type, *map(str, values), str(folder))
