"""Import early what a daemon needs late, because an upgrade replaces the files under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules

from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.model import Config

_TOP = "raft_snapshot_agent"
_RUN = (
    "backup.finish",
    "backup.taken",
    "core.snapshots.scrub_note",
    "error_text",
    "network.exchange",
)
"""What a run or its failure needs; commands without a run start faster without it."""
_DRILL = ("config.drill_host", "config.drill_seal", "restore.choice", "restore.rehearsal")


def preload(fleet: LoadedFleet) -> None:
    """Import the agent's own modules that this configuration needs sooner or later.

    A standby may need its storages after weeks only. Modules of two versions may not fit together.
    """
    configs = [one.config for one in fleet.clusters.values()]
    for name in {*_RUN, *_list_for_drills(configs), *_list_of_storages(configs)}:
        # Whatever is wrong, such as a missing library, is reported where it is used.
        with suppress(Exception):
            import_module(f"{_TOP}.{name}")


def _list_for_drills(configs: Iterable[Config]) -> Iterable[str]:
    return _DRILL if any(one.drill.schedule is not None for one in configs) else ()


def _list_of_storages(configs: Iterable[Config]) -> Iterator[str]:
    # Thousands of clusters have a few types of storages.
    types = {type(storage) for one in configs for storage in one.storages}
    for package in {one.__module__.rpartition(".")[0] for one in types}:
        prefix = package.removeprefix(f"{_TOP}.")
        yield from (one.name for one in iter_modules(import_module(package).__path__, f"{prefix}."))
