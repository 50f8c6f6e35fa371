"""`fetch`: a stored snapshot, copied to a file, a folder or standard output."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.target import (
    binary_output,
    is_folder,
    prepare_snapshot_file,
    require_writable_folder,
)
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import Config, spool_folder
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.destination.sidecars import replacing
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.fetching import fetch_copy
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.storage.local.local import LocalStorage
from raft_snapshot_agent.storage.pipe import PipeStorage


def fetch(
    load: Callable[[], Loaded],
    wanted: str | None,
    only: str | None,
    target: Path,
    *,
    overwrite: bool,
) -> int:
    """Copy a stored snapshot to a file or folder and verify it; return the exit code."""
    into_folder = is_folder(target)
    if into_folder and wanted == "-":
        raise ConfigError("cannot fetch from standard input: it has no name", hint="add: -o FILE")
    folder = (
        require_writable_folder(target)
        if into_folder
        else prepare_snapshot_file(target, overwrite=overwrite)
    )
    which = parse_wanted(wanted, load, stored=True)
    destinations = open_storages(load, only, which)

    async def work() -> None:
        reader = await choose_reader(destinations, which)
        name = reader.name if into_folder else target.name
        prepare_snapshot_file(folder / name, overwrite=overwrite)
        async with fetch_copy(reader, folder, tell=output.warn) as got:
            copy = LocalStorage(folder)
            async with replacing(copy, name, (Sidecar.MANIFEST,)):
                await copy.delete(manifest_name(name))  # raises if it could not be taken away
                await copy.put(name, got.spool)
            if got.manifest is not None:
                await copy.put(manifest_name(name), BytesSource(got.manifest.to_json()))
        output.talk(f"Fetched and verified: {folder / name} (index {got.snapshot.meta.index})")
        output.talk(f"Proof: {await got.reader.describe_proof()}.")

    wait_for(work)
    return 0


def fetch_to_stdout(load: Callable[[], Loaded], wanted: str | None, only: str | None) -> int:
    """Write a stored snapshot to standard output after its verification; return the exit code."""
    pipe = PipeStorage(binary_output("fetch -o -"))
    loaded = cache(load)
    which = parse_wanted(wanted, load, stored=True)
    destinations = open_storages(loaded, only, which)
    folder = spool_folder(loaded().config if destinations else Config(), os.environ)

    async def work() -> None:
        reader = await choose_reader(destinations, which)
        async with fetch_copy(reader, folder, tell=output.warn) as got:
            await pipe.put("-", got.spool)
        output.talk(f"Fetched and verified: {got.reader.label} (index {got.snapshot.meta.index})")

    wait_for(work)
    return 0
