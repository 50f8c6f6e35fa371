"""`drill`: how a snapshot is restored to a temporary server, and what it must contain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.fields import ScheduleSettings, Settings, absolute, require_extra
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_text
from raft_snapshot_agent.vault.auth import AnyAuth

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return text


def _path(path: str) -> str:
    if not path.isprintable() or path != path.strip("/") or "?" in path or "#" in path:
        raise ValueError("must be a path as `bao kv get` takes it, such as secret/app")
    return path


_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_KNOWN_TO_COPY = ("approle", "userpass")
"""Auth methods that need no other server than the copy."""
_WAYS = ("sha256", "matches", "equals_secret")
AbsolutePath = Annotated[Path, absolute("/usr/bin/bao")]
SecretPath = Annotated[str, AfterValidator(_path)]


def _host_and_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and _HOST.fullmatch(host) and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError("must be a host and a port, such as kms.eu-central-1.amazonaws.com:443")
    return text


_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_MOST_HOSTS = 16
Reach = Annotated[str, AfterValidator(_host_and_port)]


class UnsealSettings(Settings):
    """How a restored copy is unsealed."""

    keys: tuple[Secret, ...] = ()
    """As many shares of the unseal key as the cluster requires; with `seal`: recovery keys."""
    seal: AbsolutePath | None = None
    """The file with the `seal` stanza of the cluster's servers, if a KMS unseals them."""
    reach: Annotated[tuple[Reach, ...], Field(max_length=_MOST_HOSTS)] = ()
    """The hosts of that KMS; the copy may connect to no others."""
    files: tuple[AbsolutePath, ...] = ()
    """Files that the stanza names, such as a CA certificate."""
    environment: dict[str, Secret] = Field(default_factory=dict)
    """Variables that the seal needs, such as `AWS_SECRET_ACCESS_KEY`."""

    @field_validator("environment")
    @classmethod
    def _named(cls, environment: dict[str, Secret]) -> dict[str, Secret]:
        if not all(map(_VARIABLE.fullmatch, environment)):  # the name may hold the value
            raise ValueError("a variable's name has letters, digits and _ only: write NAME: value")
        return environment

    @model_validator(mode="after")
    def _seal_first(self) -> Self:
        given = [name for name in ("reach", "files", "environment") if getattr(self, name)]
        if given and self.seal is None:
            raise ValueError(f"{given[0]} is for a copy that a KMS unseals: give seal, too")
        return self


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be 64 digits in lower-case hex, as sha256sum prints them")
    return text


class CanarySettings(Settings):
    """A value that every good snapshot contains, and one way to check it."""

    path: SecretPath
    """As for `bao kv get`, without `data/`; any other path as for `bao read`."""
    field: str
    sha256: Annotated[str, AfterValidator(_digest)] | None = None
    """Of the value in UTF-8, in lower-case hex."""
    matches: Annotated[str, AfterValidator(_pattern)] | None = None
    """A regular expression for the whole value."""
    equals_secret: Secret | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [way for way in _WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(_WAYS)}, to compare the value with")
        return self


class IssuerSettings(Settings):
    """An issuer of certificates whose chain must end at a known root."""

    mount: SecretPath
    """Where the engine is mounted, such as `pki_int`."""
    root: AbsolutePath
    """A file with the root's certificate, in PEM."""

    def read_roots(self) -> list[Certificate]:
        """Read the certificates of the root.

        Raises:
            ConfigError: There are none, or the extra is missing.
        """
        require_extra("drill", "a drill with issuers", "cryptography")
        from cryptography.x509 import load_pem_x509_certificates

        try:
            return load_pem_x509_certificates(read_text(self.root, LARGEST_BUNDLE).encode())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.root} holds no certificate: {reason_of(error)}",
                hint="give the root's certificate in PEM",
            ) from error


class DrillSettings(Settings):
    """How a snapshot is restored to a temporary server, and what it must contain."""

    schedule: ScheduleSettings | None = None
    """When the daemon runs a drill with the newest snapshot; by default never."""
    unseal: UnsealSettings = UnsealSettings()
    canaries: tuple[CanarySettings, ...] = ()
    issuers: tuple[IssuerSettings, ...] = ()
    login: AnyAuth | None = None
    """A login that the copy must accept."""
    server: AbsolutePath | None = None
    """The program; by default `bao` or `vault`, like the snapshot's server."""
    keep: bool = False
    """Whether the command keeps the server running until it is interrupted."""

    @model_validator(mode="after")
    def _opened(self) -> Self:
        if (self.canaries or self.issuers or self.login) and not self.unseal.keys:
            raise ValueError(
                "no canary, issuer or login is tried without the keys that make a token: give"
                " unseal.keys, too (recovery keys, where a KMS unseals the cluster)"
            )
        return self

    @field_validator("login")
    @classmethod
    def _known_to_copy(cls, login: AnyAuth | None) -> AnyAuth | None:
        if login is not None and login.method not in _KNOWN_TO_COPY:
            raise ValueError(
                f"an isolated copy cannot reach the identity provider of {login.method}:"
                f" write one of {', '.join(_KNOWN_TO_COPY)}"
            )
        return login
