"""Check the host: the configuration, its folders, and space for the spool."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from raft_snapshot_agent.config.check import check as check_configuration
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.config.named_files import check_spool
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import AgentError, ConfigError, SpoolError, StorageFull
from raft_snapshot_agent.storage.local.local import LocalSettings
from raft_snapshot_agent.threads import in_thread

_ROOM = 2
"""In sizes of the newest snapshot: less free space is reported."""


async def configuration(context: CheckContext) -> list[CheckResult]:
    """Check what needs no server or storage, for each storage separately."""
    return await in_thread(partial(_configuration, context))


def _configuration(context: CheckContext) -> list[CheckResult]:
    config, found = context.config, []
    alone = config.model_copy(update={"storages": (), "lease": None})
    try:
        check_configuration(alone, context.environ)
    except AgentError as error:
        found.append(failure("configuration", error))
    for storage in config.storages:
        try:
            storage.check()
        except AgentError as error:
            wrong = ConfigError(f"{storage.name}: {error.message}", hint=error.hint)
            found.append(failure("configuration", wrong))
    told = [warning("configuration", caution, "") for caution in context.cautions]
    return [*(found or [success("configuration", f"{context.source} is valid")]), *told]


def _is_there(path: Path) -> bool:
    """Return whether a path exists, as far as this user can see."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


async def spool(context: CheckContext) -> list[CheckResult]:
    """Check that the spool has space for a snapshot as large as the newest."""
    folder = spool_folder(context.config, context.environ)
    try:
        await in_thread(partial(check_spool, folder))
    except ConfigError:
        return [skipped("spool", f"its room was not checked: {folder} cannot be written")]
    sizes = [one.newest.size for one in context.holdings if one.newest is not None]
    if not sizes:
        why = "the room that the spool needs is unknown: no snapshot is known yet"
        return [skipped("spool", why)]
    free, told = await in_thread(partial(_find_free, _existing_folder(folder)))
    need = max(sizes)
    told = f"{told} in {folder}, the newest snapshot has {format_size(need)}"
    advice = "make room there, or set spool or TMPDIR to a folder with more"
    if free < need:
        return [
            failure("spool", SpoolError(f"there is no room for a snapshot: {told}", hint=advice))
        ]
    if free < need * _ROOM:
        return [warning("spool", f"there is little room: {told}", advice)]
    return [success("spool", told)]


async def room(context: CheckContext) -> list[CheckResult]:
    """Check that the disk of each local storage has space for another snapshot."""
    newest = {one.storage: one.newest.size for one in context.holdings if one.newest is not None}
    return [
        result
        for storage in context.config.storages
        if isinstance(storage, LocalSettings) and storage.name in newest
        for result in await in_thread(
            partial(_room, storage.name, storage.folder, newest[storage.name])
        )
    ]


def _room(name: str, folder: Path, need: int) -> list[CheckResult]:
    free, told = _find_free(folder)
    told = f"{told} in {folder}, the newest snapshot has {format_size(need)}"
    advice = "make room there, or keep fewer snapshots: the new one comes before an old one goes"
    if free < need:
        full = StorageFull(f"{name} has no room for another snapshot: {told}", hint=advice)
        return [failure("storages", full)]
    if free < need * _ROOM:
        return [warning("storages", f"{name} has little room: {told}", advice)]
    return []


def _find_free(folder: Path) -> tuple[int, str]:
    """Return the bytes that a new file may have, and in words what is free."""
    inodes = os.statvfs(folder)
    if inodes.f_files and not inodes.f_favail:  # some file systems have no fixed number
        return 0, "no inode for another file"
    free = shutil.disk_usage(folder).free
    return free, f"{format_size(free)} free"


def _existing_folder(folder: Path) -> Path:
    """Return the folder, or the nearest existing parent."""
    return next(one for one in (folder, *folder.parents) if one == one.parent or _is_there(one))
