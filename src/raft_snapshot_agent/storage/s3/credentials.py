"""Finds the keys that sign requests to AWS.

For roles of web identities, containers and instances see `roles.py`.
"""

from __future__ import annotations

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage.objectstore.aws_profile import (
    AwsCredentials,
    Profile,
    _config_file,
    _credentials_file,
    _read,
)
from raft_snapshot_agent.storage.objectstore.connection import environment


def environment_keys() -> AwsCredentials | None:
    """Return the keys in the SDK's variables."""
    key, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
    return AwsCredentials(key, secret, environment("AWS_SESSION_TOKEN")) if key and secret else None


def ambient_keys() -> AwsCredentials | None:
    """Return static keys from the SDK's variables, else from the default profile.

    `None` if a web identity takes precedence, or a role is needed.
    """
    if keys := environment_keys():
        return keys
    if environment("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return None
    name = environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    if name is not None:
        return profile(name).required_keys()
    found = _read("default")
    return found.keys() if found else None


def profile(name: str) -> Profile:
    """Return a profile by its name.

    Raises:
        ConfigError: There is no such profile.
    """
    found = _read(name)
    if found is None:
        places = f"{_credentials_file()} and {_config_file()}"
        raise ConfigError(
            f"there is no AWS profile {name!r} in {places}",
            hint="check its name, and that the agent's user may read the file",
        )
    return found
