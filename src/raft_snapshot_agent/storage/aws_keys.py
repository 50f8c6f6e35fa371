"""What requests to Amazon's services are signed with, and where it is found.

Roles of web identities, containers and instances are the library's; profiles are not.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.storage.connection import environment

if TYPE_CHECKING:
    from obstore.store import S3Credential

_NEEDS_MORE = ("role_arn", "credential_process", "sso_session", "sso_start_url")


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for secret in (self.secret_access_key, self.session_token):
            remember(secret or "")

    def credential(self) -> S3Credential:
        """Write them as the library reads them."""
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.session_token,
            "expires_at": None,
        }


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile of the shared files, the credentials' file before the configuration's.

    Source: "Configuration and credential file settings" of the AWS command line's guide.
    """

    name: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def region(self) -> str | None:
        return self.values.get("region")

    def keys(self) -> Keys | None:
        """Read its static keys; nothing where it has none."""
        key, secret = self.values.get("aws_access_key_id"), self.values.get("aws_secret_access_key")
        return Keys(key, secret, self.values.get("aws_session_token")) if key and secret else None

    def required_keys(self) -> Keys:
        """Read its static keys.

        Raises:
            ConfigError: It has none.
        """
        if keys := self.keys():
            return keys
        other = next((name for name in _NEEDS_MORE if name in self.values), None)
        why = f"{other} is not supported" if other else "it has no static keys"
        raise ConfigError(
            f"the AWS profile {self.name!r} cannot be used: {why}",
            hint="give it aws_access_key_id and aws_secret_access_key, or run with a role",
        )


def environment_keys() -> Keys | None:
    """Read the keys of the SDK's variables."""
    key, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
    return Keys(key, secret, environment("AWS_SESSION_TOKEN")) if key and secret else None


def ambient_keys() -> Keys | None:
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


def ambient_region() -> str | None:
    """Find the region where the SDK does: its variables, then the default profile."""
    if region := environment("AWS_REGION", "AWS_DEFAULT_REGION"):
        return region
    found = _read(environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE") or "default")
    return found.region if found else None


def key_services(region: str) -> list[str]:
    """List whom the library asks for a role's keys, but for those that are asked directly anyway.

    Arguments:
        region: The bucket's.
    """
    named = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_METADATA_ENDPOINT")
    services = [url for name in named if (url := environment(name))]
    if environment("AWS_WEB_IDENTITY_TOKEN_FILE"):
        services.append(sts(region))
    return services


def sts(region: str | None = None) -> str:
    """Tell where a web identity is exchanged for keys; by default in the environment's region."""
    there = region or ambient_region() or "us-east-1"
    return issuer("AWS_ENDPOINT_URL_STS", f"https://sts.{there}.amazonaws.com")


def _read(name: str) -> Profile | None:
    values: dict[str, str] = {}
    section = name if name == "default" else f"profile {name}"
    for path, title in ((_config_file(), section), (_credentials_file(), name)):
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, ValueError) as error:
            why = type(error).__name__  # its text quotes the file
            raise ConfigError(f"cannot read the AWS profiles in {path}: {why}") from None
        if parser.has_section(title):
            values |= {key: value for key, value in parser.items(title) if value}
    return Profile(name, values) if values else None


def _credentials_file() -> Path:
    given = environment("AWS_SHARED_CREDENTIALS_FILE")
    return Path(given or "~/.aws/credentials").expanduser()


def _config_file() -> Path:
    return Path(environment("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
