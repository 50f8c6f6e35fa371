"""Secrets that are named in the configuration and looked up at each use."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from raft_snapshot_agent.errors import ConfigError

_SCHEMES = ("env://", "file://", "credential://")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?:hv[sbr]\.[\w-]{20,}|b\.[\w-]{20,}|[sr]\.[A-Za-z0-9]{20,}(?:\.\w+)?"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|A(?:KIA|SIA)[A-Z0-9]{12,}"
    r"|AUTH_tk[0-9a-f]{16,}|gAAAA[\w=-]{20,})"
)
_PARAMETER = re.compile(
    r"(?i)\b((?:x-amz-)?(?:sig|signature|security-token)|password|passwd|client_secret)"
    r"=[^\s&;,'\"<>]+"
)
_HEADER = re.compile(r"\b((?i:bearer|basic)) (?=\S*(?:\d|=|[a-z][A-Z]))\S{8,}")
"""Credentials as servers repeat them from a request."""
HIDDEN = "[hidden]"


class Secret:
    """A secret given as it is, or as `env://NAME`, `file:///path` or `credential://NAME`.

    References are resolved at each use, so a rotated secret needs no restart. Neither `str` nor
    `repr` shows more than the reference.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def resolve(self) -> str:
        """Look the secret up.

        Raises:
            ConfigError: The variable, file or credential is missing, unreadable or empty.
        """
        scheme, separator, rest = self._text.partition("://")
        match scheme + separator:
            case "env://":
                return _present(os.environ.get(rest, "").strip(), f"environment variable {rest}")
            case "file://":
                return _read(Path(rest))
            case "credential://":
                return _read(_credentials_directory() / rest)
            case _:
                return self._text

    @property
    def is_reference(self) -> bool:
        """Whether the secret itself lies elsewhere."""
        return self._text.startswith(_SCHEMES)

    @property
    def reference(self) -> str:
        """The reference, or a placeholder for a secret given as it is."""
        return self._text if self.is_reference else HIDDEN

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic read a secret from a string, and write only its reference."""
        from_text = core_schema.no_info_after_validator_function(cls, handler(str))
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), from_text],
                mode="left_to_right",
                custom_error_type="secret",
                custom_error_message="Input should be text: a secret or a reference to one",
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: secret.reference
            ),
        )


class Plain(Secret):
    """A value that is no secret, but may be given as a reference all the same."""

    __slots__ = ()

    @property
    def reference(self) -> str:
        return self._text


def redact(text: str) -> str:
    """Hide what looks like a token, a key ID or a password inside a URL."""
    return _TOKENS.sub(HIDDEN, _CREDENTIALS.sub(f"{HIDDEN}@", text))


def one_line(text: str, longest: int) -> str:
    """Return another program's text on one line of at most `longest` characters.

    Control characters and what looks like a credential are taken out.
    """
    printable = "".join(one if one.isprintable() else " " for one in text)
    shown = redact(" ".join(printable.split()))
    shown = _HEADER.sub(rf"\1 {HIDDEN}", _PARAMETER.sub(rf"\1={HIDDEN}", shown))
    return shown if len(shown) <= longest else f"{shown[: longest - 3].rstrip()}..."


def _credentials_directory() -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise ConfigError(
            "credential:// is used, but $CREDENTIALS_DIRECTORY is not set",
            hint="add LoadCredential= to the systemd unit",
        )
    return Path(folder)


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(
            f"cannot read the secret in {path}: {reason}",
            hint="check that the file exists and that the agent's user may read it",
        ) from error
    return _present(text.strip(), f"file {path}")


def _present(value: str, where: str) -> str:
    if not value:
        raise ConfigError(f"the secret in {where} is missing or empty", hint="set it")
    return value
