"""Combine the configuration with the operator's token for commands run by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.environment import environment_token_file


def by_hand(loaded: Loaded, environ: Mapping[str, str]) -> Loaded:
    """Use no lease, and the operator's token if no login is configured.

    A command run by hand works whether or not the lease's storage can be reached.
    """
    loaded = with_token_file(loaded, environ)
    return replace(loaded, config=loaded.config.model_copy(update={"lease": None}))


def with_token_file(loaded: Loaded, environ: Mapping[str, str]) -> Loaded:
    """Use the token that `bao login` or `vault login` saved, if there is no other login."""
    config = loaded.config
    if config.vault.auth is not None:
        return loaded
    file = environment_token_file(environ)
    if file is None:
        return loaded
    auth = TokenAuth(method="token", token=Secret(f"file://{file}"))
    vault = config.vault.model_copy(update={"auth": auth})
    return replace(loaded, config=config.model_copy(update={"vault": vault}))
