"""`config`: check, show, schema."""

from __future__ import annotations

import os

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.config.check import check as check_all
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.config.show import schema as json_schema
from raft_snapshot_agent.config.show import shown


def check(loaded: Loaded) -> int:
    """Check everything that can be known without contacting anybody."""
    check_all(loaded.config, os.environ, loaded.place)
    names = ", ".join(storage.name or "" for storage in loaded.config.storages) or "none"
    where = loaded.path or "the environment"
    output.talk(f"{where}: the configuration is good (storages: {names})")
    for note in loaded.notes:
        output.talk(f"note: {note}")
    return 0


def show(loaded: Loaded) -> int:
    """Print the effective configuration; of secrets only where they come from."""
    output.data(shown(loaded.config))
    return 0


def schema() -> int:
    """Print the JSON schema of the configuration."""
    output.data(json_schema())
    return 0
