"""The commands `config check`, `config show` and `config schema`."""

from __future__ import annotations

import os

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.config.check import check as check_all
from raft_snapshot_agent.config.check import check_web
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.show import schema as json_schema
from raft_snapshot_agent.config.show import shown_fleet
from raft_snapshot_agent.errors import ConfigError, all_faults


def check(fleet: LoadedFleet) -> int:
    """Check what can be checked without contacting servers or storages."""
    faults: list[ConfigError] = []
    for loaded in fleet.clusters.values():
        try:
            check_all(loaded.config, os.environ, loaded.position, fleet.clusters)
        except ConfigError as error:
            faults += error.each
    if fleet.web is not None:
        try:
            check_web(fleet.web, fleet.position)
        except ConfigError as error:
            faults += error.each
    if faults:
        raise all_faults(faults)
    for name, loaded in fleet.clusters.items():
        storages = ", ".join(one.name or "" for one in loaded.config.storages) or "none"
        of_cluster = f" of cluster {name}" if name else ""
        output.talk(
            f"{loaded.source}: the configuration{of_cluster} is valid (storages: {storages})"
        )
        if not loaded.config.storages:
            output.warn(
                f"{loaded.position(())}: no storage is configured: run does not start, and"
                " only save FILE takes snapshots (add one to storages)"
            )
    for warning in fleet.warnings:
        output.warn(warning)
    for note in fleet.notes:
        output.talk(f"note: {note}")
    return 0


def show(fleet: LoadedFleet) -> int:
    """Print the effective configuration; of secrets only the references."""
    output.talk(f"configuration: {fleet.first.source}")
    output.data(shown_fleet(fleet))
    return 0


def schema() -> int:
    """Print the JSON schema of the configuration."""
    output.data(json_schema())
    return 0
