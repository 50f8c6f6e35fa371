"""Secrets of the configuration, given as references that are resolved at each use."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.ownership import describe_user, may_read
from raft_snapshot_agent.redaction import HIDDEN, remember
from raft_snapshot_agent.references import SCHEMES, require_sound
from raft_snapshot_agent.small_file import read_text

AUTHOR = "author"
"""The key in the validation context for the user who owns the configuration file."""
_LONGEST = 32 << 10
"""Maximum characters of a secret on one line: servers accept headers of 8 to 64 KiB."""
_OF_WORDS = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")


class Secret:
    """A secret given literally, or as `env://NAME`, `file:///path` or `credential://NAME`.

    References are resolved at each use, so a rotated secret needs no restart. `str` and `repr`
    show only the reference, and resolved values are hidden in all output.
    """

    __slots__ = ("_author", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._author: int | None = None

    def by(self, author: int | None) -> Self:
        """Set the user who wrote the reference: files that this user may not read are refused.

        `None` sets no restriction.
        """
        self._author = author
        return self

    def resolve(self) -> str:
        """Resolve the secret.

        Raises:
            ConfigError: It is missing, unreadable, empty, or not a single line of text.
        """
        text = self.resolve_lines()
        _must_be_one_line(text, self._where)
        if len(text) > _LONGEST:
            raise ConfigError(
                f"{self._where} has more than {_LONGEST} characters, a limit that is fixed",
                hint="name the secret's own file; no server takes one that long",
            )
        return text

    def resolve_lines(self) -> str:
        """Resolve a secret that may have several lines, such as a PEM key.

        Raises:
            ConfigError: It is missing, unreadable, empty, or not text.
        """
        text = self._look_up()
        self._remember(text)
        return text

    def as_name(self) -> Name:
        """Return the same as the name that belongs to another secret."""
        return Name(self._text).by(self._author)

    @property
    def is_reference(self) -> bool:
        """Whether it is a reference and not the secret itself."""
        return self._text.startswith(SCHEMES)

    @property
    def reference(self) -> str:
        """The reference, or a placeholder for a literal secret."""
        return self._text if self.is_reference else HIDDEN

    @property
    def _where(self) -> str:
        return f"the secret in {self.reference}" if self.is_reference else "the secret"

    def _remember(self, text: str) -> None:
        remember(text)

    def _look_up(self) -> str:
        scheme, separator, rest = self._text.partition("://")
        match scheme + separator:
            case "env://":
                return _variable(rest)
            case "file://":
                return _read(Path(rest), self._author)
            case "credential://":
                return _read(_credential(rest), self._author)
            case _:
                return self._text.strip("\r\n")

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return False
        return (other._text, other._author) == (self._text, self._author)

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _validate(cls, text: str, info: ValidationInfo) -> Self:
        require_sound(text)
        context = info.context
        return cls(text).by(context.get(AUTHOR) if isinstance(context, Mapping) else None)

    @classmethod
    def _from_python(cls, value: object, info: ValidationInfo) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            what = "Input should be text: a secret or a reference to one"
            raise PydanticCustomError("secret", what)
        return cls._validate(value, info)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make pydantic read a secret from a string, and write only its reference."""
        from_text = core_schema.with_info_after_validator_function(cls._validate, handler(str))
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.with_info_plain_validator_function(cls._from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: secret.reference
            ),
        )


class Plain(Secret):
    """A value that is not secret but may also be given as a reference."""

    __slots__ = ()

    @property
    def reference(self) -> str:
        return self._text

    def _remember(self, text: str) -> None:
        """Do nothing: the value is not secret and may be shown."""


class Name(Secret):
    """A name such as a role ID, which is worth nothing without the secret that belongs to it.

    It is not shown as a setting. In other texts it is hidden only if it was drawn at random:
    without usual words, such as `snapshot`, no message could be read.
    """

    __slots__ = ()

    def _remember(self, text: str) -> None:
        if not _OF_WORDS.fullmatch(text):
            super()._remember(text)


def header_value(text: str, what: str) -> str:
    """Return a text encoded for an HTTP header, in UTF-8.

    It is checked here because HTTP libraries put an invalid value, the secret, into their errors.

    Arguments:
        text: The value.
        what: Its name for the message, such as its configuration key.

    Raises:
        ConfigError: It has characters that a header must not contain.
    """
    if text.isascii() and text.isprintable():
        return text
    if any(unicodedata.category(one) in {"Cc", "Cs"} for one in text):
        raise ConfigError(
            f"{what} holds a character that is not allowed in an HTTP header",
            hint="it must be the value and nothing else: no line break, and text in UTF-8",
        )
    return text.encode().decode("latin-1")


def _must_be_one_line(text: str, where: str) -> None:
    lines = len(text.splitlines())
    if lines > 1:
        raise ConfigError(
            f"{where} has {lines} lines, but must have one", hint="leave only the secret there"
        )
    if any(unicodedata.category(one) == "Cc" for one in text):
        raise ConfigError(
            f"{where} holds a control character", hint="leave only the secret itself there"
        )


def _variable(name: str) -> str:
    where = f"environment variable {name}"
    text = os.environ.get(name, "").strip()
    if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
        remember(text)
        raise ConfigError(
            f"the secret in {where} is not text in UTF-8", hint="set it to text, or use file://"
        )
    return _require_value(text, where)


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(
            "credential:// is used, but $CREDENTIALS_DIRECTORY is not set",
            hint="add LoadCredential= to the systemd unit",
        )
    if "/" in name:
        raise ConfigError(
            f"credential://{name} is not a valid credential name",
            hint="the name of a credential contains no /",
        )
    return Path(folder, name)


def _read(path: Path, author: int | None) -> str:
    def refuse_foreign(descriptor: int) -> None:
        if author is not None and not may_read(author, descriptor):
            raise ConfigError(
                f"cannot read the secret in {path}: the configuration {describe_user(author)},"
                " who may not read it",
                hint="let root or the agent's user own the configuration",
            )

    try:
        text = read_text(path, check=refuse_foreign)
    except OSError as error:
        raise ConfigError(
            f"cannot read the secret in {path}: {reason_of(error)}",
            hint="name the secret's own file, which the agent's user may read",
        ) from error
    # Editors of Windows put a byte order mark before the text.
    return _require_value(text.removeprefix("\ufeff").strip(), f"file {path}")


def _require_value(value: str, where: str) -> str:
    if not value:
        raise ConfigError(f"the secret in {where} is missing or empty", hint="set it")
    return value
