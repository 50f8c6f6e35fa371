"""Import early what a daemon needs late, because an upgrade replaces the files under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules

from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.model import Config

_TOP = "raft_snapshot_agent"
_RUN = ("backup.finish", "backup.taken", "error_text", "network.exchange")
"""What a run or its failure needs; commands without a run start faster without it."""
_DRILL = ("config.drill_host", "config.drill_seal", "restore.choice", "restore.rehearsal")


def preload(fleet: LoadedFleet) -> None:
    """Import the agent's own modules that this configuration needs sooner or later.

    A standby may need its storages after weeks only. Modules of two versions may not fit together.
    """
    for name in {name for one in fleet.clusters.values() for name in _list_needed(one.config)}:
        # Whatever is wrong, such as a missing library, is reported where it is used.
        with suppress(Exception):
            import_module(name)


def _list_needed(config: Config) -> Iterator[str]:
    drills = () if config.drill.schedule is None else _DRILL
    yield from (f"{_TOP}.{name}" for name in (*_RUN, *drills))
    for storage in config.storages:
        package = import_module(type(storage).__module__.rpartition(".")[0])
        yield from (one.name for one in iter_modules(package.__path__, f"{package.__name__}."))
