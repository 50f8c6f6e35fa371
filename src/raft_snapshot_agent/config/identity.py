"""When two storages keep their snapshots in the same place."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from raft_snapshot_agent.storage import AnyStorage

_WHERE = ("auth_url", "storage_url", "endpoint", "url", "account_name", "host", "port")
_WHAT = ("bucket", "container", "project_name")
"""What tells one storage from another, beside its folder."""


def identify(storage: AnyStorage) -> object:
    """Return what two storages have in common that keep their snapshots in the same place."""
    told = type(storage).model_fields.keys()
    values = [getattr(storage, key) for key in (*_WHERE, *_WHAT) if key in told]
    folder = PurePosixPath(str(getattr(storage, "path", "")), storage.prefix)
    if storage.type == "local":
        folder = PurePosixPath(os.path.realpath(folder))  # two names of one folder
    return (storage.type, *map(str, values), str(folder))
