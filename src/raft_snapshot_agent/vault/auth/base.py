"""Interface of a login method: it makes a path and a body for each login."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

from pydantic import AfterValidator

from raft_snapshot_agent.vault.answers import Answer

_NOT_IN_PATHS = re.compile(r"[\s?#%\\]")


def _mount(mount: str) -> str:
    path = mount.strip("/")
    if path.startswith("auth/"):
        raise ValueError(f"must not begin with auth/: did you mean {path.removeprefix('auth/')!r}?")
    if not all(part.strip(".") for part in path.split("/")) or _NOT_IN_PATHS.search(path):
        raise ValueError("must be the path of the auth method, as bao auth list shows it")
    return mount


Mount = Annotated[str, AfterValidator(_mount)]
"""Path of an auth method, below `auth/`."""


@dataclass(frozen=True, slots=True)
class Login:
    """One `POST /v1/auth/<mount>/login` request; its body is never printed."""

    path: str
    body: dict[str, Any] = field(repr=False)


def login_path(mount: str) -> str:
    """Return the login path of a mount."""
    return f"auth/{mount.strip('/')}/login"


class Auth(Protocol):
    """A login method."""

    advice: ClassVar[str]
    """Hint if the server refuses the login."""
    counted: ClassVar[bool]
    """Whether the server counts refused logins and locks out after too many."""

    @property
    def method(self) -> str: ...

    def login(self) -> Login | str:
        """Return the login request, or a token if no login is needed.

        Raises:
            ConfigError: A required secret is missing.
            ServerError: A metadata or token service does not answer.
        """


@runtime_checkable
class Checked(Protocol):
    """A login method that needs something of this host."""

    def check(self) -> None:
        """Check what can be checked without a request.

        Raises:
            ConfigError: An extra is not installed.
        """


class Ask(Protocol):
    """Makes a request to the server."""

    def __call__(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, token: str = ""
    ) -> Answer: ...


@runtime_checkable
class Prepared(Protocol):
    """A login method that needs another request first."""

    def prepare(self, ask: Ask) -> None:
        """Request what the next login needs, unless it is known.

        Raises:
            ConfigError: A required secret is missing.
            ServerError: The server refused.
        """
