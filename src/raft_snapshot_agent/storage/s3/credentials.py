"""What requests to Amazon's services are signed with, and where it is found.

Roles of web identities, containers and instances have a file of their own, `roles.py`.
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
    """Read the keys of the SDK's variables."""
    key, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
    return AwsCredentials(key, secret, environment("AWS_SESSION_TOKEN")) if key and secret else None


def ambient_keys() -> AwsCredentials | None:
    """Find static keys where the SDK does: its variables, then the default profile.

    Nothing where a web identity comes first, or a role has to do.
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
    """Look a profile up.

    Raises:
        ConfigError: There is none of that name.
    """
    found = _read(name)
    if found is None:
        places = f"{_credentials_file()} and {_config_file()}"
        raise ConfigError(
            f"there is no AWS profile {name!r} in {places}",
            hint="check its name, and that the agent's user may read the file",
        )
    return found
