"""What a command typed by an operator takes from the configuration, and what from the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.settings import environment_token_file


def by_hand(loaded: Loaded, environ: Mapping[str, str]) -> Loaded:
    """Log in with the operator's token where there is no login, and leave the lease out.

    Who types a command means it: nothing of what keeps the lease need be there.
    """
    loaded = with_token_file(loaded, environ)
    return replace(loaded, config=loaded.config.model_copy(update={"lease": None}))


def with_token_file(loaded: Loaded, environ: Mapping[str, str]) -> Loaded:
    """Log in with the token that `bao login` or `vault login` left, if nothing else does."""
    config = loaded.config
    if config.vault.auth is not None:
        return loaded
    file = environment_token_file(environ)
    if file is None:
        return loaded
    auth = TokenAuth(method="token", token=Secret(f"file://{file}"))
    vault = config.vault.model_copy(update={"auth": auth})
    return replace(loaded, config=config.model_copy(update={"vault": vault}))
