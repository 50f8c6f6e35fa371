"""The host: the configuration, the folders it names, and room for the spool."""

from __future__ import annotations

import os
import shutil
from functools import partial

from raft_snapshot_agent.config.check import check as check_configuration
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.doctor.findings import (
    Finding,
    Patient,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import AgentError, ConfigError, SpoolError
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.threads import in_thread

_ROOM = 2
"""In newest snapshots: less is told."""


async def configuration(patient: Patient) -> list[Finding]:
    """Try what can be known without contacting anybody, each storage on its own."""
    return await in_thread(partial(_configuration, patient))


def _configuration(patient: Patient) -> list[Finding]:
    config, found = patient.config, []
    alone = config.model_copy(update={"storages": (), "lease": None})
    try:
        check_configuration(alone, patient.environ)
    except AgentError as error:
        found.append(failure("configuration", error))
    for storage in config.storages:
        try:
            _check_storage(storage)
        except AgentError as error:
            wrong = ConfigError(f"{storage.name}: {error.message}", hint=error.hint)
            found.append(failure("configuration", wrong))
    return found or [success("configuration", "it is sound")]


def _check_storage(storage: AnyStorage) -> None:
    """Try what this host has to offer for a storage; a missing folder is not made.

    Raises:
        AgentError: It is not there.
    """
    if storage.type == "local" and not os.path.lexists(storage.path):
        return  # listing it tells
    storage.check()


async def spool(patient: Patient) -> list[Finding]:
    """Say whether a snapshot as large as the newest has room in the spool."""
    folder = spool_folder(patient.config, patient.environ)
    sizes = [one.newest.size for one in patient.holdings if one.newest is not None]
    if not sizes:
        why = "no snapshot is known to tell how much room the spool needs"
        return [skipped("spool", why)]
    try:
        free = (await in_thread(partial(shutil.disk_usage, folder))).free
    except OSError as error:
        why = f"the spool's folder {folder} cannot be looked at: {error.strerror}"
        raise SpoolError(why, hint="make it, or set spool to another folder") from error
    need = max(sizes)
    told = f"{_mib(free)} free in {folder}, the newest snapshot has {_mib(need)}"
    advice = "make room there, or set spool to a folder with more"
    if free < need:
        return [
            failure("spool", SpoolError(f"there is no room for a snapshot: {told}", hint=advice))
        ]
    if free < need * _ROOM:
        return [warning("spool", f"there is little room: {told}", advice)]
    return [success("spool", told)]


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
