"""Reads the files and variables of the AWS SDK, for several modules."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.small_file import read_text
from raft_snapshot_agent.storage.objectstore.connection import environment

_NEEDS_MORE = ("role_arn", "credential_process", "sso_session", "sso_start_url")


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Keys that sign a request."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for secret in (self.secret_access_key, self.session_token):
            remember(secret or "")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile of the shared files; the credentials file overrides the config file.

    Source: "Configuration and credential file settings" of the AWS command line's guide.
    """

    name: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def region(self) -> str | None:
        return self.values.get("region")

    def keys(self) -> AwsCredentials | None:
        """Return its static keys; `None` if it has none."""
        key, secret = self.values.get("aws_access_key_id"), self.values.get("aws_secret_access_key")
        return (
            AwsCredentials(key, secret, self.values.get("aws_session_token"))
            if key and secret
            else None
        )

    def required_keys(self) -> AwsCredentials:
        """Return its static keys.

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


def ambient_region() -> str | None:
    """Return the region from the SDK's variables, else from the default profile."""
    if region := environment("AWS_REGION", "AWS_DEFAULT_REGION"):
        return region
    found = _read(environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE") or "default")
    return found.region if found else None


def sts(region: str | None = None) -> str:
    """Return the STS endpoint of a region; by default that of the environment."""
    there = region or ambient_region() or "us-east-1"
    return issuer("AWS_ENDPOINT_URL_STS", f"https://sts.{there}.amazonaws.com")


def _read(name: str) -> Profile | None:
    values: dict[str, str] = {}
    section = name if name == "default" else f"profile {name}"
    for path, title in ((_config_file(), section), (_credentials_file(), name)):
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(_text(path))
        except (configparser.Error, OSError) as error:
            why = reason_of(error) if isinstance(error, OSError) else _explain(error)
            raise ConfigError(
                f"cannot read the AWS profiles in {path}: {why}",
                hint="correct it, or set AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE",
            ) from None
        if parser.has_section(title):
            values |= {key: value for key, value in parser.items(title) if value}
    return Profile(name, values) if values else None


def _explain(error: configparser.Error) -> str:
    """Return what is wrong, without the parser's own text, which quotes the file."""
    match error:
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno} is in no section, such as [default]"
        case configparser.ParsingError():
            return f"line {error.errors[0][0]} is neither a section nor a key with its value"
    return "it is not a file of profiles"


def _text(path: Path) -> str:
    """Read a file of profiles; ignore one that is missing or in an inaccessible folder."""
    try:
        return read_text(path).removeprefix("\ufeff")  # which some editors write
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except PermissionError:
        if _is_visible(path):
            raise
        return ""


def _is_visible(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _credentials_file() -> Path:
    given = environment("AWS_SHARED_CREDENTIALS_FILE")
    return Path(given or "~/.aws/credentials").expanduser()


def _config_file() -> Path:
    return Path(environment("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
