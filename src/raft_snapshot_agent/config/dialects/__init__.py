"""Other agents' configuration files, and how to tell them from ours."""

from __future__ import annotations

from raft_snapshot_agent.config.clusters import Fleet
from raft_snapshot_agent.config.document import Document
from raft_snapshot_agent.config.loaded import Dialect
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.errors import ConfigError


def dialect(document: Document) -> Dialect:
    """Return the dialect of a configuration, by the keys at its top.

    Raises:
        ConfigError: It mixes ours with the original agent's, or is another agent's.
    """
    ours = [key for key in document.value if key in Config.model_fields | Fleet.model_fields]
    if len(ours) == len(document.value):
        return "agent"
    # What reads another's file is loaded for what may be one.
    from raft_snapshot_agent.config.dialects import argelbargel
    from raft_snapshot_agent.config.dialects.seed import SeedFile

    seeds = [key for key in document.value if key.lower() in SeedFile.model_fields]
    if ours and seeds:
        raise ConfigError(
            f"{document.place((seeds[0],))}: this key is the original agent's, but"
            f" {ours[0]} at line {document.mark((ours[0],)).line} is this agent's",
            hint="write all keys in one style; what the original's cannot say has a variable, such"
            " as VAULT_CACERT",
        )
    argelbargel.refuse(document)
    return "seed" if seeds else "agent"
